"""Gamma: a power law."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from isp_gym.modules.base import Module, Parameter
from isp_gym.modules.blocks import gradient_above, pointwise, power_buffer, total

FLOOR = 1e-6


def gamma(x: Tensor, exponent: Tensor) -> Tensor:
    """Raise images (B, 3, H, W), floored at 1e-6, to ``exponent`` (B, 1)."""
    return pointwise(_forward, _backward, x, exponent)


def _forward(x: Tensor, exponent: Tensor, out: Tensor) -> None:
    # Powers of two are half as expensive as a general power.
    whole, power = power_buffer(x.shape, x)
    torch.clamp(x, min=FLOOR, out=power).log2_().mul_(exponent)
    whole.exp2_()
    out.copy_(power)


def _backward(x: Tensor, exponent: Tensor, grad: Tensor, grad_x: Tensor) -> Tensor:
    base = x.clamp_min(FLOOR)
    log = base.log2()
    whole, power = power_buffer(x.shape, x)
    torch.mul(log, exponent, out=power)
    whole.exp2_()
    power.mul_(grad)
    torch.div(power, base, out=base).mul_(exponent)
    grad_x.copy_(gradient_above(base, x, FLOOR))
    return total(power, log) * math.log(2)


REFERENCE = Module(
    name="gamma",
    parameters=(Parameter("gamma", "", 1 / 3, 3.0, neutral=1.0),),
    apply=gamma,
    input_domain="linear",
    output_domain="display",
    clamps=False,
    formula="max(x, 1e-6)**gamma",
    reference="Hu et al., Exposure, TOG 2018",
)
STABLE = replace(REFERENCE, parameters=(Parameter("gamma", "", 1 / 3, 3.0, neutral=1.0, log=True),))
