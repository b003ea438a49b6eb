"""POS-ISP: one sequence for the task, parameters for each image (arXiv 2604.06938)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.sequence.learner import SequenceLearner
from agents.sequence.networks import POLICIES, ParameterPredictor
from agents.sequence.policy import SequencePolicy
from agents.sequence.released import fill, longest, read_released
from agents.sequence.settings import LearnerSettings
from isp_gym.benchmark import Agent, Training
from isp_gym.config import refuse_contradictions, typed
from isp_gym.modules import Bank, get_bank
from isp_gym.pipelines import Pipelines, Rules
from isp_gym.tuning import Choice, Float, Parameter


class POSISP(Agent):
    """Learn one module sequence for the task, and a CNN that predicts its parameters from each image.

    Where the problem allows a module more than once, each of its uses has the same parameters: they are predicted from
    the image, one vector for the whole bank.

    Args:
        **settings: Fields of :class:`agents.sequence.settings.LearnerSettings`. A saved policy brings its own along;
            what is given here must not contradict them.

    Attributes:
        settings: The resolved hyper-parameters.
        rules: What its pipelines obey; set by :meth:`build`, as are the networks.
        policy: The sequence policy, the same for every image.
        predictor: The parameter predictor.

    Example:
        >>> from isp_gym.modules import get_bank
        >>> agent = POSISP(policy="table", width=4)
        >>> agent.build(Rules(get_bank("stable", ("exposure", "gamma")), max_length=2))
        >>> images = torch.rand(3, 3, 32, 32)
        >>> agent.sequence.tolist(), agent.predict_params(images).shape
        ([0, 1], torch.Size([3, 2]))
        >>> agent.pipelines(images).names(0)
        ('exposure', 'gamma')
        >>> agent.enhance(images).shape
        torch.Size([3, 3, 32, 32])
    """

    exact_resume = True
    search_space: ClassVar[Mapping[str, Parameter]] = {
        "sequence_learning_rate": Float(1e-4, 1e-2, log=True, default=LearnerSettings.sequence_learning_rate),
        "params_learning_rate": Float(1e-4, 1e-2, log=True, default=LearnerSettings.params_learning_rate),
        "ent_coef": Choice((0.0, 1e-3, 1e-2), default=LearnerSettings.ent_coef),
        "pretanh_l2": Float(1e-5, 1e-2, log=True, default=LearnerSettings.pretanh_l2),
        "batch_size": Choice((8, 16, 32), default=LearnerSettings.batch_size),
        "sequences_per_image": Choice((2, 4, 8), default=LearnerSettings.sequences_per_image),
        "end_temperature": Float(0.1, 1.0, log=True, default=LearnerSettings.end_temperature),
        "temperature_half_life": Float(0.05, 0.5, log=True, default=LearnerSettings.temperature_half_life),
    }

    def __init__(self, **settings: float | int | str) -> None:
        self.settings = typed(LearnerSettings, settings, "posisp option")
        self._given = frozenset(settings)
        self.rules: Rules
        self.policy: SequencePolicy
        self.predictor: ParameterPredictor

    def build(self, rules: Rules) -> None:
        """Make fresh networks for pipelines that obey ``rules``."""
        settings, bank = self.settings, rules.bank
        self.rules = rules
        self.policy = POLICIES[settings.policy](bank.num_modules, rules.max_length, rules.allowed)
        self.predictor = ParameterPredictor(
            bank.num_params,
            bank.neutral if settings.identity_init else None,
            settings.linear_input,
            settings.width,
            bank.num_modules if settings.condition else 0,
        )

    def train(self, training: Training) -> None:
        """Learn until the budget of task evaluations is spent."""
        self.build(training.rules)
        self.networks.to(training.setting.device)
        learner = SequenceLearner(self.policy, self.predictor, training, self.settings)
        training.resume(learner)
        while learner.iterate():
            training.checkpoint(self, learner)

    @property
    def networks(self) -> nn.ModuleDict:
        """Return the controller: all that is needed at inference."""
        return nn.ModuleDict({"policy": self.policy, "predictor": self.predictor})

    @property
    def bank(self) -> Bank:
        """Return the modules that it chooses from."""
        return self.rules.bank

    @property
    def sequence(self) -> Tensor:
        """Return the task-level sequence by greedy decoding, (L,) int64, without the end token."""
        greedy = self.policy.greedy()
        return greedy[greedy != self.policy.end_token]

    @torch.no_grad()
    def predict_params(self, images: Tensor) -> Tensor:
        """Predict normalised parameters of every module, (B, 3, H, W) -> (B, P), on the device of the images."""
        sequences = self.policy.greedy().repeat(len(images), 1)
        return self.predictor(images.to(sequences.device), sequences).to(images.device)

    def pipelines(self, images: Tensor) -> Pipelines:
        """Return the task-level sequence for each image, with the parameters that are predicted for it."""
        sequences = self.policy.greedy().to(images.device).repeat(len(images), 1)
        return Pipelines(self.rules, sequences, self.predict_params(images))

    @torch.no_grad()
    def enhance(self, images: Tensor) -> Tensor:
        """Process linear RGB images, (B, 3, H, W) -> (B, 3, H, W), unclipped."""
        return self.pipelines(images)(images)

    @torch.no_grad()
    def likelihood(self, sequence: Tensor) -> float:
        """Return the probability of a sequence, (n,) tokens with or without end tokens, at temperature 1."""
        padded = F.pad(sequence, (0, self.policy.max_length - len(sequence)), value=self.policy.end_token)
        device = next(self.policy.parameters()).device
        return float(self.policy.evaluate(padded.to(device)[None]).log_probs.exp())

    @torch.no_grad()
    def diagnostics(self) -> dict[str, float]:
        """Return how far the sequence policy has converged, at temperature 1, as the paper plots it (Fig. 5)."""
        greedy = self.policy.greedy()
        return {
            "entropy": float(self.policy.sample(256).entropies.mean()),
            "p_greedy": self.likelihood(greedy),
            "length": float((greedy != self.policy.end_token).sum()),
        }

    def state(self) -> dict[str, Any]:
        """Return the networks, and all that is needed to build them again."""
        return {**self.networks.state_dict(), **self.rules.to_dict(), "options": asdict(self.settings)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Build the networks of which :meth:`state` was taken.

        Raises:
            UserError: An option that was given to this agent contradicts the saved ones.
        """
        given = {key: value for key, value in asdict(self.settings).items() if key in self._given}
        saved = {key: state["options"][key] for key in asdict(self.settings)}
        refuse_contradictions(saved, given, "posisp")
        self.settings = typed(LearnerSettings, state["options"], "saved posisp option")
        self.build(Rules.from_dict(state))
        self.networks.load_state_dict({key: value for key, value in state.items() if isinstance(value, Tensor)})

    @classmethod
    def from_released(cls, path: str | Path) -> POSISP:
        """Load a checkpoint of the authors' release, ``{"iter": int, "agent_model": state_dict}``.

        Args:
            path: The ``.pth`` file; it is read with ``weights_only=True``.

        Raises:
            UserError: The file is missing, damaged or something else.
        """
        policy, predictor = read_released(path)
        bank = get_bank("reference")
        agent = cls(linear_input=True, identity_init=False)
        agent.build(Rules(bank, longest(policy, otherwise=bank.num_modules)))
        fill(agent.policy, policy, path)
        fill(agent.predictor, predictor, path)
        return agent
