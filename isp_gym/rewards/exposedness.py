"""Exposedness: neither too dark nor too bright, anywhere."""

from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.rewards.base import Frame, RewardTerm, blocks, broadcast_blocks

BLOCK = 16
LEVEL = 0.6


class Exposedness(RewardTerm):
    """Minus the distance of the mean luminance of each block of 16x16 pixels to 0.6."""

    name = "exposedness"
    low, high = -LEVEL, 0.0
    uses = "image"
    description = "minus the mean over 16x16 blocks of |luminance - 0.6|"
    reference = "Guo et al., Zero-DCE, CVPR 2020"

    def map(self, frame: Frame, source: Frame, scenes: SceneBatch) -> Tensor:
        """Return (B, H, W) in [-0.6, 0], the same all over a block."""
        level = blocks(frame.smooth, BLOCK).mean(dim=(2, 4))
        return broadcast_blocks(-(level - LEVEL).abs(), BLOCK, frame.smooth.shape)
