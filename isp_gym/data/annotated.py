"""Data sources whose scenes say what is to be found in them: boxes, classes and perhaps masks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from isp_gym.data.file_source import FileSource, Item, to_tensor
from isp_gym.data.letterbox import Letterbox
from isp_gym.data.photo_source import stable_integers
from isp_gym.data.photos import read_photo
from isp_gym.data.scene import Objects, Scene
from isp_gym.data.unprocess import unprocess
from isp_gym.errors import UserError


@dataclass(frozen=True)
class Annotation:
    """One object, in pixels of the file.

    Attributes:
        box: x1, y1, x2, y2.
        label: Index into the classes.
        segmentation: COCO's: polygons, or a run-length encoding; ``None`` where there is no mask.
        crowd: COCO's ``iscrowd``.
    """

    box: tuple[float, float, float, float]
    label: int
    segmentation: Any = None
    crowd: bool = False


@dataclass(frozen=True)
class AnnotatedItem(Item):
    """A scene on disk with what is to be found in it.

    Attributes:
        size: Width and height of the file as its annotation says.
        annotations: The objects.
        classes: Names of the data set's classes.
        source: The file that the annotation stands in.
        camera: The camera's own JPEG of the shot.
    """

    size: tuple[int, int] = (0, 0)
    annotations: tuple[Annotation, ...] = ()
    classes: tuple[str, ...] = ()
    source: str = ""
    camera: Path | None = None

    def files(self) -> list[Path]:
        """See :meth:`Item.files`."""
        return [*super().files(), *([] if self.camera is None else [self.camera])]


class AnnotatedSource(FileSource):
    """One scene a file, letterboxed, with its objects."""

    @abstractmethod
    def items(self, argument: str, split: str) -> Sequence[AnnotatedItem]:
        """See :meth:`FileSource.items`."""

    def validate(self, item: Item) -> None:
        """Raise ``UserError`` if something is missing or an annotation is impossible; decodes nothing."""
        super().validate(item)
        assert isinstance(item, AnnotatedItem)
        for annotation in item.annotations:
            clipped_box(annotation, item)

    def stamp(self, item: Item) -> object:
        """Also its objects."""
        assert isinstance(item, AnnotatedItem)
        return super().stamp(item), item.size, [(a.box, a.label, a.crowd) for a in item.annotations]

    def make(self, item: Item, split: str, image_size: int, seed: int) -> Scene:
        """The pixels come from the cache, the objects from the annotation."""
        assert isinstance(item, AnnotatedItem)
        scene = super().make(item, split, image_size, seed)
        return replace(scene, objects=objects_of(item, image_size))


class RawAnnotatedSource(AnnotatedSource):
    """Files that are linear RAW already, beside the camera's JPEG."""

    def read(self, item: Item, image_size: int, seed: Sequence[str | int]) -> tuple[Tensor, None, Tensor | None]:
        """The RAW as it is, and what the camera made of it."""
        assert isinstance(item, AnnotatedItem)
        camera = None if item.camera is None else _boxed(item.camera, item, image_size)
        return to_tensor(_boxed(item.input, item, image_size)), None, None if camera is None else to_tensor(camera)


class PhotoAnnotatedSource(AnnotatedSource):
    """Finished photos: unprocessed to dark RAW-RGB, with the photo itself as the target."""

    def read(self, item: Item, image_size: int, seed: Sequence[str | int]) -> tuple[Tensor, Tensor, None]:
        """The unprocessed photo and the photo."""
        assert isinstance(item, AnnotatedItem)
        target = _boxed(item.input, item, image_size)
        image = unprocess(target, np.random.default_rng(stable_integers(seed)))
        image[~Letterbox(item.size, image_size).inside()] = 0  # no noise where there is no photo
        return to_tensor(image), to_tensor(target), None


def _boxed(path: Path, item: AnnotatedItem, image_size: int) -> npt.NDArray[np.float32]:
    pixels = read_photo(path)
    size = (pixels.shape[1], pixels.shape[0])
    if path == item.input and size != item.size:
        raise UserError(
            f"cannot use {path}: it has {size[0]} x {size[1]} pixels, but {item.source} says "
            f"{item.size[0]} x {item.size[1]}; its boxes would not fit"
        )
    return Letterbox(size, image_size).image(pixels)


def clipped_box(annotation: Annotation, item: AnnotatedItem) -> tuple[float, float, float, float]:
    """The part of a box that lies inside the image.

    Raises:
        UserError: Nothing of it does, or it has no area.
    """
    (x1, y1, x2, y2), (width, height) = annotation.box, item.size
    box = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
    if not (box[2] > box[0] and box[3] > box[1]):
        raise UserError(
            f"cannot use {item.source}: the box ({x1:g}, {y1:g}, {x2:g}, {y2:g}) of a {item.classes[annotation.label]} "
            f"in '{item.name}' has no area inside the image of {width} x {height} pixels; correct or remove it"
        )
    return box


def objects_of(item: AnnotatedItem, image_size: int) -> Objects:
    """What is to be found in a scene, in pixels of the letterboxed image."""
    frame = Letterbox(item.size, image_size)
    boxes = [frame.box(clipped_box(annotation, item)) for annotation in item.annotations]
    masks = None
    if item.annotations and all(annotation.segmentation is not None for annotation in item.annotations):
        shapes = [frame.mask(annotation.segmentation) for annotation in item.annotations]
        masks = torch.from_numpy(np.stack(shapes))
    elif not item.annotations:
        masks = torch.zeros(0, image_size, image_size, dtype=torch.bool)
    return Objects(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor([annotation.label for annotation in item.annotations], dtype=torch.int64),
        item.classes,
        masks,
        torch.tensor([annotation.crowd for annotation in item.annotations], dtype=torch.bool),
    )
