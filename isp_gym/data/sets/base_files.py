"""Data sources with one scene a file (or a pair of files), decoded when it is needed and kept in the cache."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from isp_gym.data.cache import cached, identity
from isp_gym.data.read_log import SPLITS
from isp_gym.data.scene import Scene, SceneSet
from isp_gym.data.sets.base import DataSource, checksum
from isp_gym.data.sets.base_photos import usable
from isp_gym.data.sets.folder_index import snapshot
from isp_gym.data.store import LazyStore
from isp_gym.errors import UserError


@dataclass(frozen=True)
class Item:
    """One scene on disk.

    Attributes:
        name: What it is called in scene ids; no two of a split alike.
        input: The RAW file or photo.
        target: The target image that goes with it, if there is one.
        fault: Why it cannot be used, if that is known already.
    """

    name: str
    input: Path
    target: Path | None = None
    fault: str = ""

    def files(self) -> list[Path]:
        """Return everything that is decoded for it."""
        return [path for path in (self.input, self.target) if path is not None]


class FileSource(DataSource):
    """One scene a file, and as many as there are files.

    Attributes:
        layout: What a folder must hold, in words that follow "expected".
    """

    layout: str

    @abstractmethod
    def splits(self, argument: str) -> Mapping[str, Sequence[Item]]:
        """Return the scenes of each split in a fixed order. Decodes nothing; asked again when a file changes."""

    @abstractmethod
    def read(self, item: Item, image_size: int, seed: int, options: Any) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return input, target and the camera's own image of one scene, (3, S, S) each.

        What is sampled depends on ``seed``, ``options`` and what the file shows (see :func:`content_key`), on no name.
        """

    def check(self, argument: str) -> None:
        """Raise ``UserError`` if the folder is not laid out as expected; single files are looked at when loading."""
        self.items(argument, "train")

    def fingerprint(self, argument: str) -> str:
        """Return digest of the paths, sizes and times of all that lies in the folder."""
        root = Path(argument).expanduser().absolute()
        return snapshot(str(root)) if root.is_dir() else ""

    def items(self, argument: str, split: str) -> Sequence[Item]:
        """Return the scenes of ``split``, found once for as long as nothing changes.

        Raises:
            UserError: A split has none, or a scene is in it twice, or in another as well.
        """
        return _checked_splits(self, argument, self.fingerprint(argument))[split]

    def depends(self, item: Item) -> object:
        """Return what a scene's images depend on besides files, size and seed."""
        return None

    def annotation(self, item: Item) -> object:
        """Return what is known of a scene besides its images; its ``repr`` is part of the checksum."""
        return None

    def validate(self, item: Item) -> None:
        """Raise ``UserError`` if a scene cannot be made, as far as that can be told without decoding."""
        if item.fault:
            raise UserError(item.fault)

    def load(
        self,
        argument: str,
        split: str,
        count: int,
        image_size: int,
        seed: int,
        on_error: str = "raise",
        options: Any = None,
    ) -> SceneSet:
        """See ``DataSource.load``; files are decoded when they are needed, or all at once with ``on_error="skip"``."""
        items = list(self.items(argument, split))[:count]
        if on_error == "skip":
            # Into the cache, so that none can fail in the middle of a training.
            items = usable(items, split, lambda item: self._checked(item, split, image_size, seed, options))
        else:
            for item in items:
                self.validate(item)

        names = [item.name for item in items]
        ids = [f"{split}/{name}" for name in names]
        store = LazyStore(partial(self._scene, items, split, image_size, seed, options), len(items))
        return SceneSet(store, ids, names, split, f"{self.name}:{argument}")

    def available(self, argument: str, split: str, on_error: str = "raise") -> int:
        """See ``DataSource.available``: a scene a file, less those to skip that can be told without decoding."""
        items = self.items(argument, split)
        return len(items) if on_error == "raise" else sum(self._sound(item) for item in items)

    def _sound(self, item: Item) -> bool:
        try:
            self.validate(item)
        except UserError:
            return False
        return True

    def checksum(self, argument: str, split: str, photos: Collection[str]) -> str:
        """See ``DataSource.checksum``; files count as :func:`file_digest` reads them, objects whole."""
        chosen = set(photos)
        items = [item for item in self.items(argument, split) if item.name in chosen]
        return checksum((item.name, self.annotation(item), item.files()) for item in items)

    def _scene(self, items: Sequence[Item], split: str, image_size: int, seed: int, options: Any, i: int) -> Scene:
        return self.make(items[i], split, image_size, seed, options)

    def _checked(self, item: Item, split: str, image_size: int, seed: int, options: Any) -> Scene:
        self.validate(item)
        return self.make(item, split, image_size, seed, options)

    def make(self, item: Item, split: str, image_size: int, seed: int, options: Any = None) -> Scene:
        """Make one scene, or take it from the cache if it is there."""
        scene_id = f"{split}/{item.name}"

        def decode() -> Scene:
            image, target, camera = self.read(item, image_size, seed, options)
            return Scene(image, target, scene_id, camera)

        # A file that is missing is told when it is read.
        files = [identity(path) if path.exists() else None for path in item.files()]
        key = (self.name, files, self.depends(item), image_size, seed)
        return cached(key, scene_id, decode, options)


@lru_cache(maxsize=8)
def _checked_splits(source: FileSource, argument: str, fingerprint: str) -> Mapping[str, Sequence[Item]]:
    splits, where = source.splits(argument), f"data={source.name}:{argument}"
    owners: dict[Path, str] = {}
    for split in SPLITS:
        if not splits[split]:
            raise UserError(f"{where} has no {split} images; {source.layout}")
        for item in splits[split]:
            owner = owners.setdefault(item.input, split)
            if owner != split:
                raise UserError(f"{where} has {item.input} in two splits, {owner} and {split}; take it off one")
        names = Counter(item.name for item in splits[split])
        if len(names) < len(splits[split]):
            (name, times), *_ = names.most_common(1)
            raise UserError(f"{where} lists {name} {times} times in its {split} split; list it once")
    return splits


def central_square(pixels: npt.NDArray, image_size: int) -> npt.NDArray[np.float32]:
    """Return the central square of an image, resized with anti-aliasing.

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
    """Transpose (S, S, 3) -> (3, S, S)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
