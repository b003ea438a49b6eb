"""Non-local means denoising, guided by luminance."""

from dataclasses import replace

import torch
from torch import Tensor

from isp_gym.modules.base import Module, Parameter, mix, per_image

SEARCH = 5
PATCH = 2
GUIDE = (0.299, 0.587, 0.114)


def denoise(x: Tensor, h: Tensor) -> Tensor:
    """Averages each pixel of (B, 3, H, W) over the 11x11 shifts whose 5x5 patches look alike; h (B, 1) is the width."""
    height, width = x.shape[-2:]
    guide = sum(weight * channel for weight, channel in zip(GUIDE, x.clamp(0, 1).split(1, 1), strict=True))
    pad = SEARCH + PATCH
    guide = _wrap(guide, pad)
    wide = _wrap(x, SEARCH)
    reach = 2 * SEARCH + 1
    centre = guide[..., SEARCH : SEARCH + height + 2 * PATCH, SEARCH : SEARCH + width + 2 * PATCH]
    total, norm = torch.zeros_like(x), torch.zeros_like(x[:, :1])
    for i in range(reach):
        for j in range(reach):
            other = guide[..., i : i + height + 2 * PATCH, j : j + width + 2 * PATCH]
            square = (centre - other) ** 2
            square = sum(square[..., k : k + width] for k in range(2 * PATCH + 1))
            square = sum(square[..., k : k + height, :] for k in range(2 * PATCH + 1))
            weight = torch.exp(-(square + 1e-8).sqrt() / (per_image(h) + 1e-8))
            total = total + weight * wide[..., i : i + height, j : j + width]
            norm = norm + weight
    return (total / norm).clamp(0, 1)


def _wrap(x: Tensor, pad: int) -> Tensor:
    rows = torch.arange(-pad, x.shape[-2] + pad, device=x.device) % x.shape[-2]
    columns = torch.arange(-pad, x.shape[-1] + pad, device=x.device) % x.shape[-1]
    return x.index_select(-2, rows).index_select(-1, columns)


def graded(x: Tensor, strength: Tensor) -> Tensor:
    """Fades denoising in: strength 0 is the image itself, 1 is h = 1; h = 0.01 * 100**strength."""
    return mix(x, denoise(x, 0.01 * 100**strength), per_image(strength))


REFERENCE = Module(
    name="denoise",
    parameters=(Parameter("h", "", 1e-5, 1.0, neutral=1e-5),),
    apply=denoise,
    needs="any",
    gives="any",
    clamps=True,
    formula="non-local means: 11x11 shifts weighted by exp(-d / h), d between 5x5 patches of luminance",
    reference="Buades et al., A non-local algorithm for image denoising, CVPR 2005",
)
STABLE = replace(REFERENCE, parameters=(Parameter("strength", "", 0.0, 1.0, neutral=0.0),), apply=graded, clamps=False)
