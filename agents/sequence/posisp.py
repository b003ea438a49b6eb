"""POS-ISP: one sequence for the task, parameters for each image (arXiv 2604.06938)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from agents.sequence.learner import LearnerSettings, learn
from agents.sequence.policy import SequencePolicy
from agents.sequence.predictor import ParameterPredictor
from isp_gym.benchmark import Training
from isp_gym.config import typed
from isp_gym.errors import UserError
from isp_gym.modules import Bank, get_bank

# Where the released checkpoints keep what our networks call otherwise.
_RELEASED_PREDICTOR = {
    **{"enc1.0": "convs.0", "enc1.2": "convs.1", "enc1.4": "convs.2", "enc2.0": "convs.3", "enc3.0": "convs.4"},
    **{"fc1": "fc1", "fc2": "fc2", "decoder.0": "hidden", "decoder.2": "out"},
}


class POSISP:
    """A recurrent policy for the module sequence and a CNN for the parameters, trained together.

    Args:
        **settings: Fields of :class:`agents.sequence.learner.LearnerSettings`.
    """

    def __init__(self, **settings: float | int | str) -> None:
        self.settings = typed(LearnerSettings, settings, "posisp option")
        self.bank: Bank
        self.policy: SequencePolicy
        self.predictor: ParameterPredictor

    def build(self, bank: Bank, max_length: int, released: bool = False) -> None:
        """Make fresh networks for a bank; ``released`` ones start and see the image as in the authors' release."""
        self.bank = bank
        self.policy = SequencePolicy(bank.num_modules, max_length)
        self.predictor = ParameterPredictor(bank.num_params, None if released else bank.neutral, linear_input=released)

    def train(self, training: Training) -> None:
        """Learn until the budget of task evaluations is spent."""
        self.build(training.bank, training.setting.length)
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

    @torch.no_grad()
    def predict_params(self, images: Tensor) -> Tensor:
        """Normalised parameters of every module for each image, (B, 3, H, W) -> (B, P)."""
        return self.predictor(images)

    def pipelines(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The task-level sequence for each image, (B, L), and its parameters, (B, P)."""
        sequences = self.policy.greedy().repeat(len(images), 1)
        return sequences, self.predict_params(images)

    @torch.no_grad()
    def enhance(self, images: Tensor) -> Tensor:
        """Process linear RGB images, (B, 3, H, W) -> (B, 3, H, W), unclipped."""
        return self.bank(images, *self.pipelines(images))

    @torch.no_grad()
    def diagnostics(self) -> dict[str, float]:
        """How sure the sequence policy is at temperature 1, as the paper plots it (Fig. 5)."""
        greedy = self.policy.greedy()[None]
        return {
            "entropy": float(self.policy.sample(256).entropies.mean()),
            "p_greedy": float(self.policy.evaluate(greedy).log_probs.exp()),
            "length": float((greedy != self.policy.end_token).sum()),
        }

    @classmethod
    def from_released(cls, path: str | Path) -> POSISP:
        """Load a checkpoint of the authors' release, ``{"iter": int, "agent_model": state_dict}``.

        Args:
            path: The ``.pth`` file; it is read with ``weights_only=True``.

        Raises:
            UserError: The file is missing or holds something else.
        """
        if not Path(path).is_file():
            raise UserError(f"no checkpoint at '{path}'")
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)["agent_model"]
            policy, predictor = _split_released(state)
            agent = cls()
            agent.build(get_bank("reference"), policy["step_embed.weight"].shape[0] - 1, released=True)
            agent.policy.load_state_dict(policy)
            agent.predictor.load_state_dict(predictor)
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"'{path}' is not a released POS-ISP checkpoint: {reason}") from error
        return agent


def _split_released(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """State dicts of our two networks from the released one."""
    policy, predictor = {}, {}
    for key, value in state.items():
        net, _, rest = key.partition(".")
        layer, _, kind = rest.rpartition(".")
        if net == "action_agent":
            policy[rest.replace("step2film.0", "film")] = value
        else:
            predictor[f"{_RELEASED_PREDICTOR[layer]}.{kind}"] = value
    return policy, predictor
