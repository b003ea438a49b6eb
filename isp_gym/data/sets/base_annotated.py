"""Data sources with annotations: boxes, classes and perhaps masks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from isp_gym.data.annotations.letterbox import Box, Letterbox
from isp_gym.data.annotations.masks import OVERHANG, check_segmentation
from isp_gym.data.readers.photos import read_photo
from isp_gym.data.scene import Objects, Scene
from isp_gym.data.sets.base_files import FileSource, Item, to_tensor
from isp_gym.data.sets.base_photos import content_key, stable_integers
from isp_gym.data.unprocess import UnprocessSettings, unprocess
from isp_gym.errors import UserError


@dataclass(frozen=True)
class Annotation:
    """One object, in pixels of the file.

    Attributes:
        box: x1, y1, x2, y2; it may overhang the image by ``segmentation.OVERHANG``, which is cut off.
        label: Index into the classes.
        segmentation: COCO's: polygons, or a run-length encoding; ``None`` where there is no mask.
        crowd: COCO's ``iscrowd``.
    """

    box: Box
    label: int
    segmentation: Any = None
    crowd: bool = False


@dataclass(frozen=True)
class AnnotatedItem(Item):
    """A scene on disk with its annotations.

    Attributes:
        size: Width and height of the file as its annotation says.
        annotations: The objects; all of them have masks, or none.
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

    def validate(self, item: Item) -> None:
        """Raise ``UserError`` if something is missing or an annotation is impossible; decodes nothing."""
        super().validate(item)
        assert isinstance(item, AnnotatedItem)
        if min(item.size) < 1:
            raise UserError(f"cannot use {item.source}: '{item.name}' has {item.size[0]} x {item.size[1]} pixels there")
        for annotation in item.annotations:
            _check(annotation, item)
        if len({annotation.segmentation is None for annotation in item.annotations}) > 1:
            raise UserError(f"cannot use {item.source}: some objects in '{item.name}' have a mask and others have none")

    def depends(self, item: Item) -> object:
        """Return the size that the annotation claims: it is compared when the file is decoded."""
        assert isinstance(item, AnnotatedItem)
        return item.size

    def annotation(self, item: Item) -> object:
        """Return the objects, whole."""
        assert isinstance(item, AnnotatedItem)
        objects = [(a.box, a.label, a.segmentation, a.crowd) for a in item.annotations]
        return item.size, item.classes, objects

    def make(self, item: Item, split: str, image_size: int, seed: int, options: Any = None) -> Scene:
        """Make a scene: the pixels come from the cache, the objects from the annotation."""
        assert isinstance(item, AnnotatedItem)
        scene = super().make(item, split, image_size, seed, options)
        return replace(scene, objects=objects_of(item, image_size))


class RawAnnotatedSource(AnnotatedSource):
    """Files that are linear RAW already, beside the camera's JPEG."""

    def read(self, item: Item, image_size: int, seed: int, options: Any) -> tuple[Tensor, None, Tensor | None]:
        """Return the RAW as it is, and what the camera made of it."""
        assert isinstance(item, AnnotatedItem)
        camera = None if item.camera is None else to_tensor(_boxed(read_photo(item.camera), image_size))
        return to_tensor(_boxed(_input(item), image_size)), None, camera


class PhotoAnnotatedSource(AnnotatedSource):
    """Finished photos: unprocessed to dark RAW-RGB, with the photo itself as the target."""

    options = UnprocessSettings

    def read(self, item: Item, image_size: int, seed: int, options: Any) -> tuple[Tensor, Tensor, None]:
        """Return the unprocessed photo and the photo."""
        assert isinstance(item, AnnotatedItem)
        pixels = _input(item)
        target = _boxed(pixels, image_size)
        rng = np.random.default_rng(stable_integers((content_key(pixels), seed)))
        image = unprocess(target, rng, options)
        image[~Letterbox(item.size, image_size).inside()] = 0  # no noise where there is no photo
        return to_tensor(image), to_tensor(target), None


def _input(item: AnnotatedItem) -> npt.NDArray:
    """Return the decoded input of a scene, of the size that its annotation says."""
    pixels = read_photo(item.input)
    size = (pixels.shape[1], pixels.shape[0])
    if size != item.size:
        raise UserError(
            f"cannot use {item.input}: it has {size[0]} x {size[1]} pixels, but {item.source} says "
            f"{item.size[0]} x {item.size[1]}; its boxes would not fit"
        )
    return pixels


def _boxed(pixels: npt.NDArray, image_size: int) -> npt.NDArray[np.float32]:
    return Letterbox((pixels.shape[1], pixels.shape[0]), image_size).image(pixels)


def clipped_box(box: Box, size: tuple[int, int]) -> Box:
    """Return the part of a box that lies inside an image of that width and height."""
    (x1, y1, x2, y2), (width, height) = box, size
    return max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height))


def _check(annotation: Annotation, item: AnnotatedItem) -> None:
    """Name the first thing that is wrong with an object; a box may overhang the image a little."""
    fault = _box_fault(annotation.box, item.size)
    if fault is None and annotation.segmentation is not None:
        try:
            check_segmentation(annotation.segmentation, item.size)
        except ValueError as error:
            fault = f"the mask {error}"
    if fault is not None:
        what = f"a {item.classes[annotation.label]} in '{item.name}'"
        raise UserError(f"cannot use {item.source}: of {what}, {fault}; correct or remove it")


def _box_fault(box: Box, size: tuple[int, int]) -> str | None:
    x1, y1, x2, y2 = clipped_box(box, size)
    shown = "the box (" + ", ".join(f"{value:g}" for value in box) + ")"
    if not (x2 > x1 and y2 > y1):  # also where one is no number
        return f"{shown} has no area inside the image of {size[0]} x {size[1]} pixels"
    if max(abs(a - b) for a, b in zip(box, (x1, y1, x2, y2), strict=True)) > OVERHANG:
        return f"{shown} reaches more than {OVERHANG:g} pixels outside the image of {size[0]} x {size[1]} pixels"
    return None


def objects_of(item: AnnotatedItem, image_size: int) -> Objects:
    """Return the annotations of a scene, in pixels of the letterboxed image."""
    frame = Letterbox(item.size, image_size)
    boxes = [frame.box(clipped_box(annotation.box, item.size)) for annotation in item.annotations]
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
