"""Contrast: an S-curve on luminance."""

import torch
from torch import Tensor

from isp_gym.modules.base import Module, Parameter, add_luminance_gradient, luminance
from isp_gym.modules.blocks import clip_gradient, pointwise, total

FLOOR = 1e-6


def contrast(x: Tensor, weight: Tensor) -> Tensor:
    """Move images (B, 3, H, W) towards (or away from) a cosine S-curve of their luminance; weight (B, 1)."""
    return pointwise(_forward, _backward, x, weight)


def _forward(x: Tensor, weight: Tensor, out: Tensor) -> None:
    lum = luminance(x).clamp_(0, 1)
    ratio = (lum * torch.pi).cos_().sub_(1).mul_(weight * -0.5).div_(lum.add_(FLOOR)).add_(1 - weight)
    torch.mul(x, ratio, out=out)


def _backward(x: Tensor, weight: Tensor, grad: Tensor, grad_x: Tensor) -> Tensor:
    raw = luminance(x)
    lum = raw.clamp(0, 1)
    inverse = (lum + FLOOR).reciprocal_()
    half = lum * (torch.pi / 2)
    sine = half.sin()
    # curve = sine**2, and its derivative is pi * sine * cosine.
    ratio = (sine * sine).mul_(inverse)
    slope = half.cos_().mul_(sine).mul_(torch.pi).sub_(ratio).mul_(inverse).mul_(weight)
    product = (grad * x).sum(1, keepdim=True)
    grad_weight = total(product, ratio - 1)
    torch.mul(grad, ratio.sub_(1).mul_(weight).add_(1), out=grad_x)
    add_luminance_gradient(grad_x, clip_gradient(product.mul_(slope), raw))
    return grad_weight


REFERENCE = Module(
    name="contrast",
    parameters=(Parameter("contrast", "", -1.0, 1.0, neutral=0.0),),
    apply=contrast,
    input_domain="display",
    output_domain="display",
    clamps=False,
    formula="lerp(x, x / (lum + 1e-6) (.5 - .5 cos(pi lum)), w), lum = clip(.27R + .67G + .06B, 0, 1)",
    reference="Hu et al., Exposure, TOG 2018",
)
STABLE = REFERENCE
