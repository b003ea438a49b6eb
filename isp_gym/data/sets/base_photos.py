"""Scenes from photographs: crop, shrink, unprocess. The base of every source whose targets are finished photos."""

from __future__ import annotations

import hashlib
import warnings
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from isp_gym.data.readers.photos import Pixels, read_photo
from isp_gym.data.scene import Scene, SceneSet
from isp_gym.data.sets.base import DataSource, checksum
from isp_gym.data.store import MemoryStore, SceneStore
from isp_gym.data.unprocess import UnprocessSettings, unprocess
from isp_gym.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Photo:
    """A photograph on disk, not yet decoded.

    Attributes:
        path: The file.
        name: What it is called in scene ids; nothing else hangs on it.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Crops:
    """The scenes of a split, cut from its photos in turn: scene k from photo k modulo their number.

    What is cut depends on the photo's content, on how many scenes of it came before, and on the seed; never on its
    name, its split or the other photos.
    """

    photos: Sequence[Photo]
    split: str
    count: int
    image_size: int
    seed: int
    options: UnprocessSettings | None = None

    def photo(self, k: int) -> Photo:
        """Return the photo that scene k is cut from."""
        return self.photos[k % len(self.photos)]

    def scene_id(self, k: int) -> str:
        """Return what scene k is called."""
        return f"{self.split}/{self.photo(k).name}/{k}"

    def occurrence(self, k: int) -> int:
        """Return how many scenes of the same photo come before scene k."""
        return k // len(self.photos)

    def cut(self, k: int, pixels: Pixels, key: str) -> Scene:
        """Cut scene k, given the pixels of its photo and their :func:`content_key`."""
        image, target = make_scene(pixels, (key, self.occurrence(k), self.seed), self.image_size, self.options)
        return Scene(image, target, self.scene_id(k))


class PhotoSource(DataSource):
    """A data source that is a list of photos for each split; its options are of the simulated camera."""

    options = UnprocessSettings

    @abstractmethod
    def photos(self, argument: str, split: str) -> Sequence[Photo]:
        """Return the photos of ``split`` in a fixed order; at least one."""

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
        """Cut scene k from photo k modulo the number of photos; see ``DataSource.load``."""
        photos = self.photos(argument, split)
        if on_error == "skip":
            photos = usable(photos, split, lambda photo: read_photo(photo.path))
        crops = Crops(photos, split, count, image_size, seed, options)
        store = self.store(crops)
        names = [crops.photo(k).name for k in range(count)]
        ids = [crops.scene_id(k) for k in range(count)]
        return SceneSet(store, ids, names, split, f"{self.name}:{argument}" if argument else self.name)

    def store(self, crops: Crops) -> SceneStore:
        """Make all scenes at once, in memory."""
        images, targets = (_allocate(crops.count, crops.image_size) for _ in range(2))
        # Photo by photo, not scene by scene: each is decoded once, and only one is in memory at a time.
        for first, photo in enumerate(crops.photos[: crops.count]):
            pixels = read_photo(photo.path)
            key = content_key(pixels)
            for k in range(first, crops.count, len(crops.photos)):
                scene = crops.cut(k, pixels, key)
                images[k] = scene.image
                targets[k] = cast(Tensor, scene.target)
        return MemoryStore(images, targets)

    def checksum(self, argument: str, split: str, photos: Collection[str]) -> str:
        """See ``DataSource.checksum``: the photos as :func:`isp_gym.data.sets.base.file_digest` reads them."""
        chosen = set(photos)
        return checksum((p.name, None, [p.path]) for p in self.photos(argument, split) if p.name in chosen)


def usable(items: Sequence[T], split: str, read: Callable[[T], object]) -> list[T]:
    """Select the items that can be read, each tried once; a warning says how many cannot, and why the first.

    Raises:
        UserError: There are none.
    """

    def fault(item: T) -> str | None:
        try:
            read(item)
        except UserError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(4) as pool:
        faults = list(pool.map(fault, items))
    found = [reason for reason in faults if reason is not None]
    if len(found) == len(items):
        raise UserError(f"none of the {len(items)} {split} files can be used; the first: {found[0]}")
    if found:
        warnings.warn(f"skipped {len(found)} of {len(items)} {split} files; the first: {found[0]}", stacklevel=4)
    return [item for item, reason in zip(items, faults, strict=True) if reason is None]


def _allocate(count: int, image_size: int) -> Tensor:
    try:
        return torch.empty(count, 3, image_size, image_size)
    except (RuntimeError, TypeError, OverflowError):  # too much memory; a number too large for torch
        raise UserError(
            f"{count} scenes of {image_size} x {image_size} pixels do not fit in memory; ask for fewer or smaller ones"
        ) from None


def make_scene(
    pixels: Pixels, seed: Sequence[str | int], image_size: int, settings: UnprocessSettings | None = None
) -> tuple[Tensor, Tensor]:
    """Cut one scene out of a photo.

    A square whose side is log-uniform between ``image_size`` and the photo's shorter side, anywhere in the photo,
    mirrored every other time, is resized to ``image_size`` with anti-aliasing: that is the target. Unprocessed it is
    the image. A photo that is smaller than ``image_size`` is cut at full height or width and enlarged.

    Args:
        pixels: Photo (H, W, 3), sRGB, 8 or 16 bit.
        seed: Whatever makes this scene different from others; the scene depends on nothing else.
        image_size: Side of the scene in pixels.
        settings: Of the simulated camera.

    Returns:
        Image and target, both (3, image_size, image_size), float32 in [0, 1].
    """
    # Two streams, so that the camera and its light do not depend on how the crop was sampled.
    crop_rng, camera_rng = np.random.default_rng(stable_integers(seed)).spawn(2)
    crop = _random_crop(pixels, crop_rng, image_size)
    photo = crop.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    # INTER_AREA averages over each output pixel's footprint; it is the anti-aliasing, and makes sense only to shrink.
    shrink = cv2.INTER_AREA if len(photo) >= image_size else cv2.INTER_LINEAR
    resized = cv2.resize(photo, (image_size, image_size), interpolation=shrink)
    target = np.clip(resized, 0.0, 1.0).astype(np.float32)
    image = unprocess(target, camera_rng, settings)
    return _to_tensor(image), _to_tensor(target)


def _random_crop(pixels: Pixels, rng: np.random.Generator, image_size: int) -> Pixels:
    height, width = pixels.shape[:2]
    longest = min(height, width)
    side = round(float(np.exp(rng.uniform(np.log(min(image_size, longest)), np.log(longest)))))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    crop = pixels[top : top + side, left : left + side]
    return crop[:, ::-1] if rng.random() < 0.5 else crop


def content_key(pixels: npt.NDArray) -> str:
    """Return SHA-256 of a decoded image: equal where and only where shape, type and every value are.

    Seeds what is sampled for a photo, so that it gives the same scenes under any name, in any folder and any lossless
    format.
    """
    digest = hashlib.sha256(f"{pixels.shape} {pixels.dtype.name}".encode())
    digest.update(np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def stable_integers(parts: Sequence[str | int]) -> list[int]:
    """Return seeds for numpy from names and numbers, the same in every process."""
    # hash() of a string differs from process to process.
    digest = hashlib.sha256("\0".join(str(part) for part in parts).encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "big") for i in range(0, len(digest), 4)]


def _to_tensor(image: npt.NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
