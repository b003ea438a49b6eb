"""Tone: a piecewise linear curve of eight steps, shared by the channels."""

from dataclasses import replace

import torch
from torch import Tensor

from isp_gym.modules.base import Module, Parameter
from isp_gym.modules.blocks import clip_gradient, pointwise, total

STEPS = 8


def tone(x: Tensor, slopes: Tensor) -> Tensor:
    """Apply the curve with the ``slopes`` (B, 8), scaled to end at 1, to images (B, 3, H, W)."""
    return pointwise(_forward, _backward, x, slopes * (STEPS / (slopes.sum(1, keepdim=True) + 1e-30)))


def _forward(x: Tensor, slopes: Tensor, out: Tensor) -> None:
    # clip(x - a, 0, b - a) = clip(x, a, b) - a saves a pass a step; sums round least when 1/2 is in the middle.
    x = x - 0.5
    starts = torch.arange(STEPS, dtype=x.dtype, device=x.device) / STEPS - 0.5
    part = torch.empty_like(x)
    out.copy_(-(slopes * starts[:, None]).sum(1, keepdim=True).expand_as(out))
    for i in range(STEPS):
        torch.clamp(x, i / STEPS - 0.5, (i + 1) / STEPS - 0.5, out=part)
        out.addcmul_(part, slopes[:, i : i + 1])


def _backward(x: Tensor, slopes: Tensor, grad: Tensor, grad_x: Tensor) -> Tensor:
    grad_x.zero_()
    grad_slopes = []
    for i in range(STEPS):
        grad_x.addcmul_(clip_gradient(grad, x, i / STEPS, (i + 1) / STEPS), slopes[:, i : i + 1])
        part = x.clamp(i / STEPS, (i + 1) / STEPS).sub_(i / STEPS)
        grad_slopes.append(total(grad, part))
    return torch.cat(grad_slopes, 1)


def _steps(log: bool) -> tuple[Parameter, ...]:
    return tuple(Parameter(f"t{i}", "", 0.5, 2.0, neutral=1.0, log=log) for i in range(STEPS))


REFERENCE = Module(
    name="tone",
    parameters=_steps(log=False),
    apply=tone,
    input_domain="any",
    output_domain="display",
    clamps=True,
    formula="sum_i clip(x - i/8, 0, 1/8) t_i * 8 / sum(t)",
    reference="Hu et al., Exposure, TOG 2018",
)
STABLE = replace(REFERENCE, parameters=_steps(log=True))
