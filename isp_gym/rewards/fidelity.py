"""Fidelity: the only term that knows the target."""

from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.rewards.base import Frame, RewardTerm
from isp_gym.tasks.enhancement import targets_of


class Fidelity(RewardTerm):
    """Minus the squared distance to the target: the enhancement task's loss, pixel by pixel."""

    name = "fidelity"
    low, high = -1.0, 0.0
    uses = "image, target"
    description = "minus the mean squared distance to the target (the enhancement task, pixel by pixel)"
    reference = "Furuta, Inoue and Yamasaki, PixelRL, AAAI 2019"

    def map(self, frame: Frame, source: Frame, scenes: SceneBatch) -> Tensor:
        """Return (B, H, W) in [-1, 0]."""
        return -(frame.images - targets_of(scenes)).square().mean(1)
