"""What a reward term is. A new one is a file with a subclass, a line in ``registry.py`` and a test class."""

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
        """Return luminance under a 5x5 binomial window with reflected borders, (B, 1, H, W).

        Statistics are taken of this, not of the pixels: independent noise keeps 27 % of its standard deviation here,
        so that adding noise pays little. Reflection keeps flat images flat up to the border.
        """
        # Four times the mean of two neighbours, which is faster than a convolution with one channel.
        x = _reflect(luminance(self.images), 2)
        for _ in range(4):
            x = x[..., 1:] + x[..., :-1]
        for _ in range(4):
            x = x[..., 1:, :] + x[..., :-1, :]
        return x / 256

    @cached_property
    def slopes(self) -> Tensor:
        """Return horizontal and vertical Sobel derivative of ``smooth`` per pixel of distance, (B, 2, H, W)."""
        x = _reflect(self.smooth, 1)
        rows = x[..., :-2, :] + 2 * x[..., 1:-1, :] + x[..., 2:, :]
        columns = x[..., :-2] + 2 * x[..., 1:-1] + x[..., 2:]
        return torch.cat([rows[..., 2:] - rows[..., :-2], columns[..., 2:, :] - columns[..., :-2, :]], 1) / 8


def _reflect(x: Tensor, width: int) -> Tensor:
    # Reflection needs more pixels than it adds; smaller images repeat their edge.
    mode = "reflect" if min(x.shape[-2:]) > width else "replicate"
    return F.pad(x, [width] * 4, mode=mode)


def blocks(x: Tensor, size: int) -> Tensor:
    """Split (B, 1, H, W) into size x size pixels, (B, H', size, W', size); the last ones repeat the image's edge."""
    bottom, right = -x.shape[2] % size, -x.shape[3] % size
    if bottom or right:
        x = F.pad(x, (0, right, 0, bottom), mode="replicate")
    return x.reshape(len(x), x.shape[2] // size, size, x.shape[3] // size, size)


def broadcast_blocks(values: Tensor, size: int, shape: torch.Size) -> Tensor:
    """Broadcast one number per block, (B, H', W'), to its pixels: (B, H, W), with H and W the last of ``shape``."""
    b, rows, columns = values.shape
    whole = values[:, :, None, :, None].expand(b, rows, size, columns, size).reshape(b, rows * size, columns * size)
    return whole[:, : shape[-2], : shape[-1]]


class RewardTerm(ABC):
    """A number that says how good an image is, and how each pixel contributes; bounded, so that none can run away.

    Attributes:
        name: What an ``objective`` calls it.
        low: Least value possible.
        high: Greatest value possible.
        uses: What it looks at: ``image``; ``image, input``; ``image, target``; or ``image, input, target``.
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
        """Return the contribution of each pixel; the mean of the map is the image's score.

        Args:
            frame: The processed images.
            source: The inputs that they were made from.
            scenes: Their scenes.

        Returns:
            (B, H, W), or anything that broadcasts to it; image i's map depends on image i only.

        Example:
            >>> from isp_gym.data import load_scenes
            >>> from isp_gym.rewards import get_reward
            >>> scenes = load_scenes("photos", count=2, image_size=32).batch([0, 1])
            >>> frame, source = Frame(scenes.images * 2), Frame(scenes.images)
            >>> get_reward("gradient").map(frame, source, scenes).mean((1, 2)).shape
            torch.Size([2])
        """
