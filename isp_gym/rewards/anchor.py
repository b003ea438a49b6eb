"""Anchor: do not go further from the input than it pays."""

from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.rewards.base import Frame, RewardTerm


class Anchor(RewardTerm):
    """Minus the squared distance to the input."""

    name = "anchor"
    low, high = -1.0, 0.0
    uses = "image, input"
    description = "minus the mean squared distance to the input"
    reference = "PixelPolish's remedy against over-brightening"

    def map(self, frame: Frame, source: Frame, scenes: SceneBatch) -> Tensor:
        """Return (B, H, W) in [-1, 0]."""
        return -(frame.images - source.images).square().mean(1)
