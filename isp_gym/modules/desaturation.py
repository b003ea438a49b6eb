"""Desaturation: towards a weighted black and white."""

from dataclasses import replace

import torch
from torch import Tensor

from isp_gym.modules.base import Module, Parameter, add_luminance_gradient, luminance
from isp_gym.modules.blocks import pointwise, total


def desaturation(x: Tensor, amount: Tensor) -> Tensor:
    """Move images (B, 3, H, W) towards their luminance by ``amount`` (B, 1); below 0 away from it."""
    return pointwise(_forward, _backward, x, amount)


def _forward(x: Tensor, amount: Tensor, out: Tensor) -> None:
    torch.mul(x, 1 - amount, out=out).add_(luminance(x).mul_(amount))


def _backward(x: Tensor, amount: Tensor, grad: Tensor, grad_x: Tensor) -> Tensor:
    grey = grad.sum(1, keepdim=True)
    grad_amount = total(grey, luminance(x)) - total(grad, x)
    torch.mul(grad, 1 - amount, out=grad_x)
    add_luminance_gradient(grad_x, grey.mul_(amount))
    return grad_amount


REFERENCE = Module(
    name="desaturation",
    parameters=(Parameter("amount", "", 0.0, 1.0, neutral=0.0),),
    apply=desaturation,
    input_domain="any",
    output_domain="any",
    clamps=False,
    formula="lerp(x, lum, a), lum = .27R + .67G + .06B",
    reference="Hu et al., Exposure, TOG 2018",
)
STABLE = replace(REFERENCE, parameters=(Parameter("amount", "", -1.0, 1.0, neutral=0.0),))
