"""Saturation: more chroma at the same hue and value, in closed form (no hue is ever computed)."""

from dataclasses import replace

import torch
from torch import Tensor

from isp_gym.modules.base import Module, Parameter
from isp_gym.modules.blocks import clip_gradient, pointwise, total

EPS = 1e-8


def saturation(x: Tensor, amount: Tensor) -> Tensor:
    """Raise the HSV saturation of images (B, 3, H, W) where it is low and the value is medium.

    At constant hue and value, saturation s becomes s' = s + (1 - s)(.5 - |.5 - v|) .8: each channel keeps its share
    (v - x) / (max - min) of the chroma, which is now v s'. ``amount`` (B, 1) in [0, 1] fades from s to s'.
    """
    return pointwise(_forward, _backward, x, amount)


def _forward(x: Tensor, amount: Tensor, out: Tensor) -> None:
    torch.clamp(x, 0, 1, out=out)
    value, low = out.amax(1, keepdim=True), out.amin(1, keepdim=True)
    share = _chroma_shares(out, value)
    gain = _gain(value, low)[0].mul_(amount)
    out.mul_(1 - amount).add_(value.mul_(amount)).sub_(share.mul_(gain))


def _backward(x: Tensor, amount: Tensor, grad: Tensor, grad_x: Tensor) -> Tensor:
    y = x.clamp(0, 1)
    value, low = y.amax(1, keepdim=True), y.amin(1, keepdim=True)
    share = _chroma_shares(y, value)
    gain, by_value, by_low = _gain(value, low)
    grad_sum = grad.sum(1, keepdim=True)
    grad_gain = (grad * share).sum(1, keepdim=True)
    grad_amount = total(grad_sum, value) - total(grad_gain, gain) - total(grad, y)
    grad_gain.mul_(amount)
    rising = (1 - amount) + amount * gain
    grad_value = (1 - gain).mul_(amount).mul_(grad_sum).sub_(by_value.mul_(grad_gain))
    torch.mul(grad, rising, out=grad_x)
    _add_extremes(grad_x, y, value, grad_value, low, by_low.mul_(grad_gain).neg_())
    grad_x.copy_(clip_gradient(grad_x, x))
    return grad_amount


def _chroma_shares(y: Tensor, value: Tensor) -> Tensor:
    """``v - y`` with EPS added to all channels but the first that is the largest.

    Where all are equal this makes the hue of grey red, as computing hues does.
    """
    share = value - y
    r, g, b = y.split(1, 1)
    not_r = torch.ne(r, value).to(y.dtype)
    neither = torch.ne(g, value).to(y.dtype).mul_(not_r)
    r, g, b = share.split(1, 1)
    r.add_(not_r, alpha=EPS)
    g.add_(neither, alpha=EPS).sub_(not_r, alpha=EPS).add_(EPS)
    b.sub_(neither, alpha=EPS).add_(EPS)
    return share


def _gain(value: Tensor, low: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return new chroma over old, v s' / (max - min), and its derivatives by the largest and the smallest channel."""
    by_value = (value + EPS).reciprocal_()
    by_chroma = (value - low).add_(EPS).reciprocal_()
    s = (value - low).mul_(by_value)
    boost = (0.5 - (0.5 - value).abs_()).mul_(0.8)
    rest = 1 - s
    new = torch.addcmul(s, rest, boost)
    gain = (new * value).mul_(by_chroma)
    turn = (0.5 - value).sign_().mul_(0.8)
    keep = (1 - boost).mul_(by_value)
    # d new / d value, where ds / dvalue = (1 - s) / (value + EPS)
    slope = (keep + turn).mul_(rest)
    gain_by_value = (slope.mul_(value).add_(new).sub_(gain)).mul_(by_chroma)
    gain_by_low = gain.sub(keep.mul_(value)).mul_(by_chroma)
    return gain, gain_by_value, gain_by_low


def _add_extremes(grad_x: Tensor, y: Tensor, value: Tensor, grad_value: Tensor, low: Tensor, grad_low: Tensor) -> None:
    """Hand the gradients in the largest and the smallest channel on; ties share them."""
    for extreme, grad in ((value, grad_value), (low, grad_low)):
        at = torch.eq(y, extreme).to(y.dtype)
        grad_x.addcmul_(at, grad.div_(at.sum(1, keepdim=True)))


def chroma_gain(x: Tensor, factor: Tensor) -> Tensor:
    """Map the HSV saturation s of images (B, 3, H, W) to s' = k s / (1 + (k - 1) s), k = ``factor`` (B, 1).

    k is the gain near grey; 1/k undoes k; greys stay grey, and s' never leaves [0, 1].
    """
    return pointwise(_forward_gain, _backward_gain, x, factor)


def _forward_gain(x: Tensor, k: Tensor, out: Tensor) -> None:
    torch.clamp(x, 0, 1, out=out)
    value, low = out.amax(1, keepdim=True), out.amin(1, keepdim=True)
    top = value + EPS
    ratio = (value - low).mul_(k - 1).add_(top).reciprocal_().mul_(top).mul_(k)
    # v - (v - y) ratio = y ratio + v (1 - ratio)
    out.mul_(ratio).add_(value.mul_(1 - ratio))


def _backward_gain(x: Tensor, k: Tensor, grad: Tensor, grad_x: Tensor) -> Tensor:
    y = x.clamp(0, 1)
    value, low = y.amax(1, keepdim=True), y.amin(1, keepdim=True)
    top, chroma = value + EPS, value - low
    inverse = (chroma * (k - 1)).add_(top).reciprocal_()
    ratio = top * inverse * k
    # ratio = k top / (top + (k - 1) chroma)
    grad_sum = grad.sum(1, keepdim=True)
    grad_ratio = (grad * y).sum(1, keepdim=True).sub_(grad_sum * value)
    grad_k = total(grad_ratio, ratio / k - ratio * chroma * inverse)
    by_chroma = grad_ratio * ratio * inverse * (1 - k)
    by_top = grad_ratio * inverse * (k - ratio)
    torch.mul(grad, ratio, out=grad_x)
    _add_extremes(grad_x, y, value, grad_sum.mul_(1 - ratio).add_(by_top).add_(by_chroma), low, by_chroma.neg())
    grad_x.copy_(clip_gradient(grad_x, x))
    return grad_k


REFERENCE = Module(
    name="saturation",
    parameters=(Parameter("saturation", "", 0.0, 1.0, neutral=0.0),),
    apply=saturation,
    input_domain="display",
    output_domain="display",
    clamps=True,
    formula="lerp(y, hsv(h, clip(s + (1 - s)(.5 - |.5 - v|) .8, 0, 1), v), a), y = clip(x, 0, 1)",
    reference="Wang et al., AdaptiveISP, NeurIPS 2024",
)
STABLE = replace(
    REFERENCE,
    parameters=(Parameter("gain", "", 0.25, 4.0, neutral=1.0, log=True),),
    apply=chroma_gain,
    formula="hsv(h, k s / (1 + (k - 1) s), v) of clip(x, 0, 1)",
)
