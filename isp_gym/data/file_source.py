"""Data sources with one scene a file (or a pair of files), decoded when it is needed and kept in the cache."""

from __future__ import annotations

import hashlib
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
from isp_gym.data.splits import SPLITS
from isp_gym.data.store import LazyStore
from isp_gym.errors import UserError

_WORKERS = 4
# Bumped when a scene of the same files comes out differently, so that the cache is not believed any more.
_VERSION = 1


@dataclass(frozen=True)
class Item:
    """One scene on disk.

    Attributes:
        name: What it is called in scene ids.
        input: The RAW file or photo.
        target: The target image that goes with it, if there is one.
        fault: Why it cannot be used, if that is known already.
    """

    name: str
    input: Path
    target: Path | None = None
    fault: str = ""

    def files(self) -> list[Path]:
        """Everything that is decoded for it."""
        return [path for path in (self.input, self.target) if path is not None]


class FileSource(DataSource):
    """One scene a file, and as many as there are files."""

    @abstractmethod
    def items(self, argument: str, split: str) -> Sequence[Item]:
        """The scenes of ``split`` in a fixed order; at least one. Decodes nothing."""

    @abstractmethod
    def read(
        self, item: Item, image_size: int, seed: Sequence[str | int]
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Input, target and the camera's own image of one scene, (3, S, S) each; ``seed`` is for what is drawn."""

    def check(self, argument: str) -> None:
        """Raise ``UserError`` if the folder is not laid out as expected; single files are looked at when loading."""
        for split in SPLITS:
            self.items(argument, split)

    def fingerprint(self, argument: str) -> str:
        """Digest of what is listed, and of the files' paths, sizes and times."""
        digest = hashlib.sha256()
        for split in SPLITS:
            for item in self.items(argument, split):
                digest.update(repr((item.name, item.fault, self.stamp(item))).encode())
        return digest.hexdigest()

    def stamp(self, item: Item) -> object:
        """What changes when an item does."""
        return _identities(item)

    def validate(self, item: Item) -> None:
        """Raise ``UserError`` if a scene cannot be made, as far as that can be told without decoding."""
        if item.fault:
            raise UserError(item.fault)

    def load(
        self, argument: str, split: str, count: int, image_size: int, seed: int, on_error: str = "raise"
    ) -> SceneSet:
        """See ``DataSource.load``; files are decoded when they are needed, or all at once with ``on_error="skip"``."""
        items = list(self.items(argument, split))[:count]
        if on_error == "skip":
            # Into the cache, so that none can fail in the middle of a training.
            items = usable(items, split, lambda item: self._checked(item, split, image_size, seed))
        else:
            for item in items:
                self.validate(item)

        def load(i: int) -> Scene:
            return self.make(items[i], split, image_size, seed)

        names = [item.name for item in items]
        ids = [f"{split}/{name}" for name in names]
        return SceneSet(LazyStore(load, len(items), _WORKERS), ids, names, split, f"{self.name}:{argument}")

    def _checked(self, item: Item, split: str, image_size: int, seed: int) -> Scene:
        self.validate(item)
        return self.make(item, split, image_size, seed)

    def make(self, item: Item, split: str, image_size: int, seed: int) -> Scene:
        """One scene, from the cache if it is there."""

        def decode() -> Scene:
            image, target, camera = self.read(item, image_size, (split, item.name, seed))
            return Scene(image, target, f"{split}/{item.name}", camera)

        return cached((_VERSION, self.name, _identities(item), item.name, split, image_size, seed), decode)


def _identities(item: Item) -> list[object]:
    """What changes when one of its files does; a file that is missing is told when it is read."""
    return [identity(path) if path.exists() else None for path in item.files()]


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
