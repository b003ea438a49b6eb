"""Contrast: an S-curve on luminance."""

import torch
from torch import Tensor

from isp_gym.modules.base import Module, Parameter, luminance, mix, per_image


def contrast(x: Tensor, weight: Tensor) -> Tensor:
    """Moves images (B, 3, H, W) towards (or away from) a cosine S-curve of their luminance; weight (B, 1)."""
    lum = luminance(x).clamp(0, 1)
    curve = 0.5 - 0.5 * torch.cos(torch.pi * lum)
    return mix(x, x / (lum + 1e-6) * curve, per_image(weight))


REFERENCE = Module(
    name="contrast",
    parameters=(Parameter("contrast", "", -1.0, 1.0, neutral=0.0),),
    apply=contrast,
    needs="display",
    gives="display",
    clamps=False,
    formula="lerp(x, x / (lum + 1e-6) (.5 - .5 cos(pi lum)), w), lum = clip(.27R + .67G + .06B, 0, 1)",
    reference="Hu et al., Exposure, TOG 2018",
)
STABLE = REFERENCE
