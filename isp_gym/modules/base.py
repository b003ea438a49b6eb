"""What a module declares about itself: its parameters, its domains and the operation that it stands for."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Domain = Literal["any", "linear", "display"]

LUMA = (0.27, 0.67, 0.06)
"""Weights of R, G and B in the luminance that contrast, desaturation and white balance share."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a module.

    Attributes:
        name: What it is called in descriptions, e.g. ``"R"``.
        unit: Physical unit, e.g. ``"EV"``; empty for a plain number.
        low: Physical value at normalised 0.
        high: Physical value at normalised 1.
        neutral: Physical value that changes the image least.
        log: Whether the normalised value moves along the logarithm of the physical one.
    """

    name: str
    unit: str
    low: float
    high: float
    neutral: float
    log: bool = False

    @property
    def line(self) -> tuple[float, float]:
        """Return offset and slope of the (logarithm of the) physical value as a function of the normalised one."""
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        return low, high - low

    @property
    def normalised_neutral(self) -> float:
        """Return the neutral value on the scale from 0 to 1."""
        offset, slope = self.line
        return ((math.log(self.neutral) if self.log else self.neutral) - offset) / slope


@dataclass(frozen=True)
class Module:
    """One ISP module: a pure function of images and physical parameters, and what there is to know about it.

    Attributes:
        name: Token name, unique in a bank.
        parameters: Its parameters, in the order in which they stand in the parameter vector.
        apply: ``(images (B, 3, H, W), physical (B, n)) -> (B, 3, H, W)``; image i depends on row i only.
        input_domain: Domain that the input must be in: ``linear``, ``display`` or ``any``.
        output_domain: Domain of the output; ``any`` leaves it as it was.
        clamps: Whether the output is clipped to [0, 1].
        formula: The operation in one line.
        reference: Where it comes from.
        costly: Whether it pays to wait until several images can go through it together.
        finish: Maps the physical parameters (..., n) to those that ``apply`` takes, e.g. normalises rows.
        version: To be raised whenever the same image with the same normalised parameters comes out otherwise, by more
            than rounding: a new formula, constant or range, or parameters in another order. Not for speed.
        radius: How many pixels away, in rows and in columns, an output pixel looks at the input; 0 is pointwise,
            ``None`` the whole image. Large images are processed in tiles by it. Borders may be treated in any way
            that looks no further, also circularly; where in the image a pixel lies may matter in no other way.
    """

    name: str
    parameters: tuple[Parameter, ...]
    apply: Callable[[Tensor, Tensor], Tensor]
    input_domain: Domain
    output_domain: Domain
    clamps: bool
    formula: str
    reference: str
    costly: bool = False
    finish: Callable[[Tensor], Tensor] | None = None
    version: int = 1
    radius: int | None = 0

    def physical(self, params: Tensor) -> Tensor:
        """Map normalised parameters (..., n) in [0, 1] to physical units (..., n)."""
        scales = [(*parameter.line, parameter.log) for parameter in self.parameters]
        if all(scale == scales[0] for scale in scales):
            offset, slope, log = scales[0]
            value = params * slope + offset
            value = value.exp() if log else value
        else:
            table = torch.tensor(scales, device=params.device)
            offsets, slopes, logs = table.to(params.dtype).unbind(-1)
            value = params * slopes + offsets
            # Linear values stay out of exp: the gradient of one that overflows would be NaN.
            value = torch.where(logs.bool(), value.masked_fill(~logs.bool(), 0).exp(), value)
        return value if self.finish is None else self.finish(value)


def mix(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Interpolate linearly from ``x`` (weight 0) to ``y`` (weight 1)."""
    return x * (1 - weight) + y * weight


def per_image(value: Tensor) -> Tensor:
    """Shape one number an image (B, 1) so that it broadcasts over (B, C, H, W)."""
    return value[:, :, None, None]


def luminance(x: Tensor) -> Tensor:
    """Weight and add up the channels, (B, 3, H, W) -> (B, 1, H, W)."""
    r, g, b = x.split(1, dim=1)
    return (r * LUMA[0]).add(g, alpha=LUMA[1]).add(b, alpha=LUMA[2])


def add_luminance_gradient(grad_x: Tensor, grad: Tensor) -> None:
    """Add to the gradient in x (B, 3, ...) what the gradient ``grad`` (B, 1, ...) in its luminance contributes."""
    for channel, weight in zip(grad_x.split(1, dim=1), LUMA, strict=True):
        channel.add_(grad, alpha=weight)
