"""Data sources with one scene a file (or a pair of files), decoded when it is needed and kept in the cache."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from isp_gym.data.cache import cached, identity
from isp_gym.data.photo_source import usable
from isp_gym.data.scene import Scene, SceneSet
from isp_gym.data.source import DataSource
from isp_gym.data.store import LazyStore
from isp_gym.errors import UserError

_WORKERS = 4
# Bumped when a scene of the same files comes out differently, so that the cache is not believed any more.
_VERSION = 1


@dataclass(frozen=True)
class Item:
    """One scene on disk: its name, its input, and the target image that goes with it, if there is one."""

    name: str
    input: Path
    target: Path | None = None


class FileSource(DataSource):
    """One scene a file. A scene is the file's central square, resized; there are as many as there are files."""

    @abstractmethod
    def items(self, argument: str, split: str) -> Sequence[Item]:
        """The scenes of ``split`` in a fixed order; at least one. Decodes nothing."""

    @abstractmethod
    def read(self, item: Item, image_size: int) -> tuple[Tensor, Tensor | None]:
        """Input and target of one scene, (3, S, S) each."""

    def load(
        self, argument: str, split: str, count: int, image_size: int, seed: int, on_error: str = "raise"
    ) -> SceneSet:
        """See ``DataSource.load``; nothing is random here, so ``seed`` changes nothing."""
        items = list(self.items(argument, split))[:count]
        if on_error == "skip":
            # Into the cache, so that none can fail in the middle of a training.
            items = usable(items, split, lambda item: self._scene(item, split, image_size))

        def load(i: int) -> Scene:
            return self._scene(items[i], split, image_size)

        names = [item.name for item in items]
        ids = [f"{split}/{name}" for name in names]
        return SceneSet(LazyStore(load, len(items), _WORKERS), ids, names, split, f"{self.name}:{argument}")

    def _scene(self, item: Item, split: str, image_size: int) -> Scene:
        def make() -> Scene:
            image, target = self.read(item, image_size)
            return Scene(image, target, f"{split}/{item.name}")

        try:
            files = [identity(path) for path in (item.input, item.target) if path is not None]
        except OSError as error:
            raise UserError(f"cannot use {error.filename}: {error.strerror}; replace or remove it") from error
        return cached((_VERSION, self.name, files, item.name, split, image_size), make)


def central_square(pixels: npt.NDArray, image_size: int) -> npt.NDArray[np.float32]:
    """The central square of an image, resized with anti-aliasing.

    Args:
        pixels: (H, W, 3), 8 or 16-bit integers, or floats in [0, 1].
        image_size: S.

    Returns:
        (S, S, 3) float32 in [0, 1]; resized in whatever light the image is in.
    """
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    scale = 1.0 if square.dtype.kind == "f" else float(np.iinfo(square.dtype).max)
    shrink = cv2.INTER_AREA if side >= image_size else cv2.INTER_LINEAR
    resized = cv2.resize(square.astype(np.float32) / np.float32(scale), (image_size, image_size), interpolation=shrink)
    return np.clip(resized, 0.0, 1.0)


def to_tensor(image: npt.NDArray[np.float32]) -> Tensor:
    """(S, S, 3) -> (3, S, S)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
