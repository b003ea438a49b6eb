"""Sharpening against a small blur."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from isp_gym.modules.base import Module, Parameter
from isp_gym.modules.blocks import clip_gradient, spans


def sharpen(x: Tensor, factor: Tensor) -> Tensor:
    """Move images away from their blur.

    Args:
        x: Images (B, 3, H, W).
        factor: f (B, 1); below 1 blurs, above 1 sharpens.

    Returns:
        ``clip(f x + (1 - f) blur, 0, 1)``, (B, 3, H, W), where blur is the mean of 3x3 pixels, the centre counted five
        times; pixels of the border stay as they are.
    """
    planes: Tensor = _Sharpen.apply(x.flatten(0, 1).contiguous(), factor.expand(-1, 3).reshape(-1, 1, 1))
    return planes.view(x.shape)


class _Sharpen(torch.autograd.Function):
    """``clip(x + (f - 1) detail, 0, 1)`` of planes (n, H, W), detail = x - blur; backward computes the detail again."""

    @staticmethod
    def forward(ctx, x: Tensor, factor: Tensor) -> Tensor:
        ctx.save_for_backward(x, factor)
        out = torch.empty_like(x)
        for block in spans(len(x), x[0].numel(), x):
            torch.addcmul(x[block], _detail(x[block]), factor[block] - 1, out=out[block]).clamp_(0, 1)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        x, factor = ctx.saved_tensors
        grad_x, grad_factor = torch.empty_like(x), torch.empty_like(factor)
        for block in spans(len(x), x[0].numel(), x):
            detail, gain = _detail(x[block]), factor[block] - 1
            inner = clip_gradient(grad[block], torch.addcmul(x[block], detail, gain))
            grad_factor[block] = detail.mul_(inner).sum((1, 2), keepdim=True)
            torch.add(inner, _detail_adjoint(torch.mul(inner, gain, out=detail)), out=grad_x[block])
        return grad_x, grad_factor


def _detail(x: Tensor) -> Tensor:
    """``x - blur`` = (9 x - box) / 13, zero on the border, of planes (n, H, W)."""
    flat, margin = x.flatten(1), x.shape[2] + 1
    detail = torch.empty_like(x)
    centre = detail.view_as(flat)[:, margin:-margin]
    torch.mul(flat[:, margin:-margin], 9, out=centre).sub_(_box(flat, x.shape[2])).div_(13)
    return _clear_border(detail)


def _detail_adjoint(grad: Tensor) -> Tensor:
    """Return what the gradient (n, H, W) in the detail gives in x; overwrites and returns it."""
    flat, margin = _clear_border(grad).view(len(grad), -1), grad.shape[2] + 1
    box = _box(F.pad(flat, (margin, margin)), grad.shape[2])
    flat.mul_(9).sub_(box).div_(13)
    return grad


def _box(flat: Tensor, width: int) -> Tensor:
    """Return sums over 3x3 pixels of planes in one row each, (n, HW) -> (n, HW - 2 W - 2).

    One long run of memory is faster than many short ones; sums across the edge of a plane are of no use, but they
    only ever land on its border, or find zeros there.
    """
    rows = (flat[:, :-2] + flat[:, 1:-1]).add_(flat[:, 2:])
    return (rows[:, : -2 * width] + rows[:, width:-width]).add_(rows[:, 2 * width :])


def _clear_border(x: Tensor) -> Tensor:
    for border in (x[..., 0, :], x[..., -1, :], x[..., 0], x[..., -1]):
        border.zero_()
    return x


REFERENCE = Module(
    name="sharpen",
    parameters=(Parameter("factor", "", 1e-5, 10.0, neutral=1.0),),
    apply=sharpen,
    input_domain="any",
    output_domain="any",
    clamps=True,
    formula="clip(f x + (1 - f) blur, 0, 1), blur 3x3 of ones with 5 in the centre, borders keep x",
    reference="Wang et al., AdaptiveISP, NeurIPS 2024",
    radius=1,
)
STABLE = replace(REFERENCE, parameters=(Parameter("factor", "", 1 / 8, 8.0, neutral=1.0, log=True),))
