"""Colour correction matrix, each row normalised to sum to one, so that white stays white."""

from dataclasses import replace

import torch
from torch import Tensor

from isp_gym.modules.base import Module, Parameter
from isp_gym.modules.blocks import clip_gradient, pointwise

ROW_FLOOR = 1e-8


def ccm(x: Tensor, matrix: Tensor) -> Tensor:
    """Apply row-major matrices (B, 9) to images (B, 3, H, W) and clips to [0, 1]."""
    return pointwise(_forward, _backward, x, matrix)


def _forward(x: Tensor, matrix: Tensor, out: Tensor) -> None:
    out.copy_(torch.bmm(matrix.view(-1, 3, 3), x).clamp_(0, 1))


def _backward(x: Tensor, matrix: Tensor, grad: Tensor, grad_x: Tensor) -> Tensor:
    square = matrix.view(-1, 3, 3)
    grad = clip_gradient(grad, torch.bmm(square, x))
    grad_x.copy_(torch.bmm(square.mT, grad))
    return torch.bmm(grad, x.mT).flatten(1)


def normalise_rows(entries: Tensor) -> Tensor:
    """Divide each row of row-major matrices (..., 9) by its sum."""
    rows = entries.unflatten(-1, (3, 3))
    return (rows / (rows.sum(-1, keepdim=True) + ROW_FLOOR)).flatten(-2)


def _entries(diagonal: tuple[float, float], other: tuple[float, float]) -> tuple[Parameter, ...]:
    return tuple(
        Parameter(f"{row}{column}", "", *(diagonal if row == column else other), neutral=float(row == column))
        for row in "RGB"
        for column in "RGB"
    )


REFERENCE = Module(
    name="ccm",
    parameters=_entries((-2.0, 2.0), (-2.0, 2.0)),
    apply=ccm,
    input_domain="linear",
    output_domain="linear",
    clamps=True,
    formula="clip(M x, 0, 1), rows of M divided by (sum + 1e-8)",
    reference="Wang et al., AdaptiveISP, NeurIPS 2024",
    finish=normalise_rows,
)
# Each diagonal entry outweighs the other two together, hence no matrix is singular (Levy-Desplanques), and each row
# sums to at least 1/4, hence no coefficient exceeds 3; [3, -1, -1] and [1.8, -.6, -.2] are both within reach.
STABLE = replace(REFERENCE, parameters=_entries((0.75, 1.25), (-0.25, 0.25)))
