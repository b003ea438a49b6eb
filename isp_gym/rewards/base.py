"""What a reward term is. A new one is a file with a subclass, a line in ``__init__.py`` and a test class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.modules.base import luminance


class Frame:
    """A batch of images with what several reward terms need of them, each computed once.

    Args:
        images: (B, 3, H, W); clipped to [0, 1] here.
    """

    def __init__(self, images: Tensor) -> None:
        self.images = images.clamp(0, 1)

    @cached_property
    def smooth(self) -> Tensor:
        """Luminance under a 5x5 binomial window with reflected borders, (B, 1, H, W).

        Statistics are taken of this, not of the pixels: independent noise keeps 27 % of its standard deviation here,
        so that adding noise pays little. Reflection keeps flat images flat up to the border.
        """
        window = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=self.images.dtype, device=self.images.device) / 16
        padded = _reflect(luminance(self.images), 2)
        across = F.conv2d(padded, window.reshape(1, 1, 1, 5))
        return F.conv2d(across, window.reshape(1, 1, 5, 1))

    @cached_property
    def slopes(self) -> Tensor:
        """Horizontal and vertical Sobel derivative of ``smooth`` per pixel of distance, (B, 2, H, W)."""
        x = _reflect(self.smooth, 1)
        along = x[..., :, 2:] - x[..., :, :-2], x[..., 2:, :] - x[..., :-2, :]
        horizontal = along[0][..., :-2, :] + 2 * along[0][..., 1:-1, :] + along[0][..., 2:, :]
        vertical = along[1][..., :, :-2] + 2 * along[1][..., :, 1:-1] + along[1][..., :, 2:]
        return torch.cat([horizontal, vertical], 1) / 8


def _reflect(x: Tensor, width: int) -> Tensor:
    # Reflection needs more pixels than it adds; smaller images repeat their edge.
    mode = "reflect" if min(x.shape[-2:]) > width else "replicate"
    return F.pad(x, [width] * 4, mode=mode)


class RewardTerm(ABC):
    """A number that says how good an image is, and how each pixel contributes; bounded, so that none can run away.

    Attributes:
        name: What an ``objective`` calls it.
        low: Least value possible.
        high: Greatest value possible.
        uses: What it looks at: ``image``; also ``input``; or also ``target``.
        description: One line for people.
        reference: Where it comes from.
    """

    name: ClassVar[str]
    low: ClassVar[float]
    high: ClassVar[float]
    uses: ClassVar[str]
    description: ClassVar[str]
    reference: ClassVar[str]

    @abstractmethod
    def map(self, frame: Frame, source: Frame, scenes: SceneBatch) -> Tensor:
        """Contribution of each pixel; the mean of the map is the image's score.

        Args:
            frame: The processed images.
            source: The inputs that they were made from.
            scenes: Their scenes.

        Returns:
            (B, H, W), or anything that broadcasts to it; image i's map depends on image i only.
        """
