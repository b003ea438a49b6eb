"""POS-ISP: one sequence for the task, parameters for each image (arXiv 2604.06938)."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from agents.sequence.learner import learn
from agents.sequence.policy import SequencePolicy
from agents.sequence.predictor import ParameterPredictor
from agents.sequence.released import fill, longest, read_released
from agents.sequence.settings import POLICIES, LearnerSettings
from isp_gym.benchmark import Training
from isp_gym.config import typed
from isp_gym.envs.pipeline import allowed_tokens
from isp_gym.errors import UserError
from isp_gym.modules import Bank, get_bank

_WEIGHTS, _CARD = "posisp.safetensors", "posisp.json"


class POSISP:
    """A policy for the module sequence and a CNN for the parameters, trained together.

    Args:
        **settings: Fields of :class:`agents.sequence.settings.LearnerSettings`.
    """

    def __init__(self, **settings: float | int | str) -> None:
        self.settings = typed(LearnerSettings, settings, "posisp option")
        self.bank: Bank
        self.policy: SequencePolicy
        self.predictor: ParameterPredictor

    def build(self, bank: Bank, max_length: int, typed_order: bool = False) -> None:
        """Make fresh networks.

        Args:
            bank: The modules to choose from.
            max_length: The longest sequence.
            typed_order: Whether modules must find the light that they need (:meth:`isp_gym.modules.Bank.typed_mask`).
        """
        settings = self.settings
        self.bank, self.typed_order = bank, typed_order
        mask = partial(allowed_tokens, bank, typed=typed_order)
        self.policy = POLICIES[settings.policy](bank.num_modules, max_length, mask)
        self.predictor = ParameterPredictor(
            bank.num_params,
            bank.neutral if settings.neutral_start else None,
            settings.linear_input,
            settings.width,
            bank.num_modules if settings.condition else 0,
        )

    def train(self, training: Training) -> None:
        """Learn until the budget of task evaluations is spent."""
        self.build(training.bank, training.setting.length, training.setting.typed)
        self.networks.to(training.setting.device)
        learn(self, training, self.settings)

    @property
    def networks(self) -> nn.ModuleList:
        """The controller: all that is needed at inference."""
        return nn.ModuleList([self.policy, self.predictor])

    @property
    def sequence(self) -> Tensor:
        """The task-level sequence by greedy decoding, (L,) int64, without the end token."""
        greedy = self.policy.greedy()
        return greedy[greedy != self.policy.end_token]

    def predict_params(self, images: Tensor) -> Tensor:
        """Normalised parameters of every module for each image, (B, 3, H, W) -> (B, P)."""
        return self.pipelines(images)[1]

    @torch.no_grad()
    def pipelines(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The task-level sequence for each image, (B, L), and its parameters, (B, P)."""
        sequences = self.policy.greedy().repeat(len(images), 1)
        return sequences, self.predictor(images, sequences)

    @torch.no_grad()
    def enhance(self, images: Tensor) -> Tensor:
        """Process linear RGB images, (B, 3, H, W) -> (B, 3, H, W), unclipped."""
        return self.bank(images, *self.pipelines(images))

    @torch.no_grad()
    def likelihood(self, sequence: Tensor) -> float:
        """Probability of a sequence, (n,) tokens with or without end tokens, at temperature 1."""
        padding = (0, self.policy.max_length - len(sequence))
        return float(self.policy.evaluate(F.pad(sequence, padding, value=self.policy.end_token)[None]).log_probs.exp())

    @torch.no_grad()
    def diagnostics(self) -> dict[str, float]:
        """How sure the sequence policy is at temperature 1, as the paper plots it (Fig. 5)."""
        greedy = self.policy.greedy()[None]
        return {
            "entropy": float(self.policy.sample(256).entropies.mean()),
            "p_greedy": self.likelihood(greedy[0]),
            "length": float((greedy != self.policy.end_token).sum()),
        }

    def save(self, folder: Path) -> None:
        """Write the trained networks, and what is needed to build them again, to ``folder``."""
        card = {
            "bank": self.bank.name,
            "modules": list(self.bank.names),
            "max_length": self.policy.max_length,
            "typed_order": self.typed_order,
        }
        (folder / _CARD).write_text(json.dumps(card, indent=1))
        save_file({key: value.contiguous() for key, value in self.networks.state_dict().items()}, folder / _WEIGHTS)

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote; the agent must have been made with the same settings.

        Raises:
            UserError: A file is missing, damaged or of other networks.
        """
        try:
            card = json.loads((folder / _CARD).read_text())
            self.build(get_bank(card["bank"], card["modules"]), card["max_length"], card["typed_order"])
            self.networks.load_state_dict(load_file(folder / _WEIGHTS))
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"'{folder}' holds no trained posisp of these settings: {reason}") from error

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
        agent = cls(linear_input=True, neutral_start=False)
        agent.build(bank, longest(policy, otherwise=bank.num_modules))
        fill(agent.policy, policy, path)
        fill(agent.predictor, predictor, path)
        return agent
