"""Gradient: edges of the input, made stronger."""

from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.rewards.base import Frame, RewardTerm

_STRONG = 0.1  # luminance per pixel of distance; a slope of this size earns tanh(1) = 0.76


class Gradient(RewardTerm):
    """Slope of the smoothed luminance along the direction of the input's slope, through tanh.

    The sign counts: added noise points anywhere and earns nothing on average, and an inverted edge is fined. The plain
    Sobel magnitude of PixelPolish pays for noise instead.
    """

    name = "gradient"
    low, high = -1.0, 1.0
    uses = "image, input"
    description = "mean of tanh(slope along the input's slope / 0.1), Sobel on smoothed luminance"
    reference = "PixelPolish's gradient reward, with the direction of the input's edges"

    def map(self, frame: Frame, source: Frame, scenes: SceneBatch) -> Tensor:
        """Return (B, H, W) in (-1, 1)."""
        along = (frame.slopes * source.slopes).sum(1)
        return (along / (source.slopes.square().sum(1) + 1e-12).sqrt() / _STRONG).tanh()
