"""Saturation: more chroma at the same hue and value, in closed form (no hue is ever computed)."""

from dataclasses import replace

from torch import Tensor

from isp_gym.modules.base import Module, Parameter, mix, per_image

EPS = 1e-8


def saturation(x: Tensor, amount: Tensor) -> Tensor:
    """Raises the HSV saturation of (B, 3, H, W) where it is low and the value is medium; amount (B, 1) in [0, 1]."""
    y = x.clamp(0, 1)
    value, top = y.max(1, keepdim=True)
    chroma = value - y.amin(1, keepdim=True)
    s = chroma / (value + EPS)
    boosted = (s + (1 - s) * (0.5 - (0.5 - value).abs()) * 0.8).clamp(0, 1)
    share = (value - y + EPS) / (chroma + EPS)
    share = share.scatter(1, top, 0.0)
    return mix(y, value - value * boosted * share, per_image(amount))


def chroma_gain(x: Tensor, factor: Tensor) -> Tensor:
    """Maps HSV saturation s of (B, 3, H, W) to k s / (1 + (k - 1) s); k (B, 1) is the gain near grey."""
    y = x.clamp(0, 1)
    value = y.amax(1, keepdim=True)
    chroma = value - y.amin(1, keepdim=True)
    k = per_image(factor)
    return value - (value - y) * (k * (value + EPS) / (value + EPS + (k - 1) * chroma))


REFERENCE = Module(
    name="saturation",
    parameters=(Parameter("saturation", "", 0.0, 1.0, neutral=0.0),),
    apply=saturation,
    needs="display",
    gives="display",
    clamps=True,
    formula="lerp(y, hsv(h, clip(s + (1 - s)(.5 - |.5 - v|) .8, 0, 1), v), a), y = clip(x, 0, 1)",
    reference="Wang et al., AdaptiveISP, NeurIPS 2024",
)
STABLE = replace(
    REFERENCE,
    parameters=(Parameter("saturation", "x", 0.25, 4.0, neutral=1.0, log=True),),
    apply=chroma_gain,
    formula="hsv(h, k s / (1 + (k - 1) s), v) of clip(x, 0, 1)",
)
