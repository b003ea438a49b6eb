"""The architecture of the embedded network: a small one-stage detector with masks from prototypes.

One point of a grid answers for each object, as in FCOS (Tian et al. 2019); masks are combinations of prototypes, as in
YOLACT (Bolya et al. 2019).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 8
"""Pixels from one point of the grid to the next."""

MASK_STRIDE = 4
"""Pixels of the image for one of a prototype."""


class Output(NamedTuple):
    """What the network says of a batch, for the N points of its grid.

    Attributes:
        points: Their x and y in pixels, (N, 2).
        objectness: Logits, (B, N).
        classes: Logits, (B, N, K).
        boxes: x1, y1, x2, y2 in pixels, (B, N, 4).
        coefficients: Of the prototypes, (B, N, M).
        prototypes: (B, M, H, W), of the image's size by ``MASK_STRIDE``.
    """

    points: Tensor
    objectness: Tensor
    classes: Tensor
    boxes: Tensor
    coefficients: Tensor
    prototypes: Tensor


class EmbeddedDetector(nn.Module):
    """About a million parameters; sees images of any size that is a multiple of 16.

    Args:
        num_classes: K.
        widths: Channels at strides 2, 4, 8 and 16.
        num_prototypes: M.
    """

    def __init__(
        self, num_classes: int, widths: tuple[int, int, int, int] = (24, 48, 80, 112), num_prototypes: int = 24
    ) -> None:
        super().__init__()
        self.num_classes, self.num_prototypes = num_classes, num_prototypes
        w2, w4, w8, w16 = widths
        self.stem = _conv(3, w2, stride=2)
        self.down4 = nn.Sequential(_conv(w2, w4, stride=2), _Residual(w4))
        self.down8 = nn.Sequential(_conv(w4, w8, stride=2), _Residual(w8), _Residual(w8))
        self.down16 = nn.Sequential(_conv(w8, w16, stride=2), _Residual(w16), _Residual(w16))
        self.lateral = nn.Conv2d(w16, w8, 1)
        self.tower = nn.Sequential(_conv(w8, w8), _conv(w8, w8))
        self.heads = nn.Conv2d(w8, 1 + num_classes + 4 + num_prototypes, 3, padding=1)
        self.fine = nn.Conv2d(w8, w4, 1)
        self.prototypes = nn.Sequential(_conv(w4, w4), nn.Conv2d(w4, num_prototypes, 1))
        with torch.no_grad():
            self.heads.bias[0] = -4.0  # type: ignore[index]  # at first hardly any point has an object

    def forward(self, images: Tensor) -> Output:
        """Look at images in [0, 1], (B, 3, H, W)."""
        x4 = self.down4(self.stem((images - 0.5) * 4))
        x8 = self.down8(x4)
        x8 = x8 + F.interpolate(self.lateral(self.down16(x8)), scale_factor=2.0)
        # In single precision from here on, also where training runs the layers in half.
        prototypes = self.prototypes(x4 + F.interpolate(self.fine(x8), scale_factor=2.0)).float()
        rows = self.heads(self.tower(x8)).float().flatten(2).transpose(1, 2)
        objectness, classes, sides, coefficients = rows.split([1, self.num_classes, 4, self.num_prototypes], dim=2)
        points = _points(x8)
        reach = STRIDE * sides.clamp(max=6).exp()
        boxes = torch.cat([points - reach[..., :2], points + reach[..., 2:]], dim=2)
        return Output(points, objectness[..., 0], classes, boxes, coefficients, prototypes)


def _points(features: Tensor) -> Tensor:
    y, x = ((torch.arange(n, device=features.device) + 0.5) * STRIDE for n in features.shape[-2:])
    return torch.stack([x.repeat(len(y)), y.repeat_interleave(len(x))], dim=1)


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.SiLU())


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), _conv(width, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)
