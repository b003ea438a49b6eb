"""The straightforward form of the module formulas: one image at a time, plain autograd, as one would first write it.

It is part of the package, as the reference of the bank: what a module computes is read here, ``tests/modules`` compares
the bank with it and ``perf/modules.py`` times it. Nothing in the package calls it where images are processed.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.27, 0.67, 0.06)


def luminance(x: Tensor) -> Tensor:
    """Return weight the channels: (B, 3, H, W) -> (B, 1, H, W)."""
    return LUMA[0] * x[:, 0:1] + LUMA[1] * x[:, 1:2] + LUMA[2] * x[:, 2:3]


def lerp(x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    """Interpolate from x (weight 0) to y (weight 1)."""
    return (1 - weight) * x + weight * y


def exposure(x: Tensor, p: Tensor) -> Tensor:
    """Multiply by 2 to the power p[0], in EV."""
    return x * torch.exp(p[0] * math.log(2))


def gamma(x: Tensor, p: Tensor) -> Tensor:
    """Raise to the power p[0]."""
    return torch.pow(torch.clamp(x, min=1e-6), p[0])


def ccm(x: Tensor, p: Tensor) -> Tensor:
    """Multiply each pixel by the 3x3 matrix p, row by row."""
    matrix = p.view(3, 3)
    pixels = x.permute(0, 2, 3, 1)[:, :, :, None, :]
    return (pixels * matrix[None, None, None]).sum(-1).permute(0, 3, 1, 2).clamp(0, 1)


def sharpen(x: Tensor, p: Tensor) -> Tensor:
    """Blend with a 3x3 blur, whose border is the image itself; p[0] > 1 sharpens."""
    kernel = torch.ones(3, 3, dtype=x.dtype, device=x.device)
    kernel[1, 1] = 5
    kernel = (kernel / kernel.sum()).expand(3, 1, 3, 3)
    blurred = F.conv2d(x, kernel, groups=3)
    blur = x.clone()
    blur[:, :, 1:-1, 1:-1] = blurred
    return (p[0] * x + (1 - p[0]) * blur).clamp(0, 1)


def denoise(x: Tensor, p: Tensor) -> Tensor:
    """Average pixels whose 5x5 surroundings are alike: non-local means of strength p[0]."""
    y = x.clamp(0, 1)
    y = 0.299 * y[:, 0:1] + 0.587 * y[:, 1:2] + 0.114 * y[:, 2:3]
    kernel = torch.ones(1, 1, 5, 5, dtype=x.dtype, device=x.device)
    total, norm = torch.zeros_like(x), torch.zeros_like(y)
    for dy in range(-5, 6):
        for dx in range(-5, 6):
            square = (y - torch.roll(y, (dy, dx), (2, 3))) ** 2
            distance = torch.sqrt(F.conv2d(F.pad(square, (2, 2, 2, 2), mode="circular"), kernel) + 1e-8)
            weight = torch.exp(-distance / (p[0] + 1e-8))
            total = total + weight * torch.roll(x, (dy, dx), (2, 3))
            norm = norm + weight
    return (total / norm).clamp(0, 1)


def tone(x: Tensor, p: Tensor) -> Tensor:
    """Apply a curve of eight straight pieces with slopes p."""
    total = torch.zeros_like(x)
    for i in range(8):
        total = total + torch.clamp(x - i / 8, 0, 1 / 8) * p[i]
    return total * 8 / (p.sum() + 1e-30)


def contrast(x: Tensor, p: Tensor) -> Tensor:
    """Blend with a cosine S-curve of the luminance."""
    lum = luminance(x).clamp(0, 1)
    curve = -torch.cos(math.pi * lum) * 0.5 + 0.5
    return lerp(x, x / (lum + 1e-6) * curve, p[0])


def rgb_to_hsv(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Convert RGB to hue, saturation and value, (B, H, W) each in [0, 1]."""
    r, g, b = x[:, 0], x[:, 1], x[:, 2]
    value, low = x.max(1).values, x.min(1).values
    chroma = value - low + 1e-8
    hue = torch.zeros_like(value)
    top = b == value
    hue[top] = 4 + ((r - g) / chroma)[top]
    top = g == value
    hue[top] = 2 + ((b - r) / chroma)[top]
    top = r == value
    hue[top] = ((g - b) / chroma)[top] % 6
    hue[low == value] = 0
    saturation = (value - low) / (value + 1e-8)
    saturation[value == 0] = 0
    return hue / 6, saturation, value


def hsv_to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Convert hue, saturation and value back to RGB."""
    sector = torch.floor(hue * 6)
    f = hue * 6 - sector
    p, q, t = value * (1 - saturation), value * (1 - f * saturation), value * (1 - (1 - f) * saturation)
    out = torch.zeros(hue.shape[0], 3, *hue.shape[1:], dtype=hue.dtype, device=hue.device)
    table = [(value, t, p), (q, value, p), (p, value, t), (p, q, value), (t, p, value), (value, p, q)]
    for k, colours in enumerate(table):
        where = sector % 6 == k
        for c, colour in enumerate(colours):
            out[:, c][where] = colour[where]
    return out


def saturation(x: Tensor, p: Tensor) -> Tensor:
    """Blend with an image of boosted saturation, most at middle value."""
    y = x.clamp(0, 1)
    hue, s, value = rgb_to_hsv(y)
    boosted = (s + (1 - s) * (0.5 - torch.abs(0.5 - value)) * 0.8).clamp(0, 1)
    return lerp(y, hsv_to_rgb(hue, boosted, value), p[0])


def desaturation(x: Tensor, p: Tensor) -> Tensor:
    """Blend with the luminance."""
    return lerp(x, luminance(x), p[0])


def white_balance(x: Tensor, p: Tensor) -> Tensor:
    """Scale the channels by p, at equal luminance of white."""
    scale = p / (1e-6 + LUMA[0] * p[0] + LUMA[1] * p[1] + LUMA[2] * p[2])
    return x * scale[None, :, None, None]


MODULES = {
    f.__name__: f
    for f in (exposure, gamma, ccm, sharpen, denoise, tone, contrast, saturation, desaturation, white_balance)
}


def apply(name: str, images: Tensor, physical: Tensor) -> Tensor:
    """Apply one module to images (B, 3, H, W) with physical parameters (B, n), one image after another."""
    return torch.cat([MODULES[name](images[i : i + 1], physical[i]) for i in range(len(images))])
