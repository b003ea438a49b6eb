"""Entropy: use of the whole range of luminance."""

import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.rewards.base import Frame, RewardTerm

BINS = 64


class Entropy(RewardTerm):
    """Shannon entropy of the histogram of smoothed luminance, as a part of its maximum.

    Each pixel is shared between the two nearest of 64 bins (a triangular kernel), which costs two additions a pixel; a
    Gaussian kernel over all bins costs 64. The image's score is 0 for a flat image and 1 for a uniform histogram.
    """

    name = "entropy"
    low, high = 0.0, 1.0
    uses = "image"
    description = "entropy of the 64-bin histogram of smoothed luminance / 6 bits"
    reference = "Shannon 1948; PixelPolish's entropy reward"

    def map(self, frame: Frame, source: Frame, scenes: SceneBatch) -> Tensor:
        """Return (B, H, W): surprise of each pixel in units of 6 bits; the mean is the entropy, in [0, 1]."""
        batch, _, height, width = frame.smooth.shape
        position = frame.smooth.reshape(batch, -1) * (BINS - 1)
        lower = position.detach().floor().clamp(0, BINS - 2)
        weight = position - lower
        index = lower.long()
        counts = torch.zeros(batch, BINS, dtype=position.dtype, device=position.device)
        counts = counts.scatter_add(1, index, 1 - weight).scatter_add(1, index + 1, weight)
        surprise = -(counts / (height * width)).clamp_min(1e-12).log() / torch.tensor(float(BINS)).log().item()
        shared = torch.lerp(surprise.gather(1, index), surprise.gather(1, index + 1), weight)
        return shared.reshape(batch, height, width)
