"""EME: local contrast."""

import math

from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.rewards.base import Frame, RewardTerm, blocks, broadcast_blocks

BLOCK = 8
_DARK = 1 / 255  # keeps black from being infinitely contrasty; bounds the measure at 20 log10(256) = 48 dB


class EME(RewardTerm):
    """Measure of enhancement: contrast of brightest to darkest smoothed luminance in each block of 8x8 pixels."""

    name = "eme"
    low, high = 0.0, 1.0
    uses = "image"
    description = "mean over 8x8 blocks of 20 log10((max + 1/255) / (min + 1/255)) / 48 dB, smoothed luminance"
    reference = "Agaian, Panetta and Grigoryan, IEEE TIP 2001"

    def map(self, frame: Frame, source: Frame, scenes: SceneBatch) -> Tensor:
        """Return (B, H, W) in [0, 1], the same all over a block."""
        tiles = blocks(frame.smooth, BLOCK)
        across = tiles.amax(2), tiles.amin(2)
        brightest, darkest = across[0].amax(3), across[1].amin(3)
        contrast = ((brightest + _DARK) / (darkest + _DARK)).log() / math.log((1 + _DARK) / _DARK)
        return broadcast_blocks(contrast, BLOCK, frame.smooth.shape)
