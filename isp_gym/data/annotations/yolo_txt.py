"""YOLO's label files: one text file per image, one line per object.

A line is ``class cx cy w h`` or ``class x y x y x y ...``, in parts of the image's width and height.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from isp_gym.data.readers.photos import read_size
from isp_gym.data.sets.base_annotated import Annotation
from isp_gym.errors import UserError


def read_labels(path: Path, size: tuple[int, int], classes: Sequence[str]) -> tuple[Annotation, ...]:
    """Read one file.

    Args:
        path: The file; an empty one is an image without objects.
        size: Width and height of the image.
        classes: Names of the classes.

    Raises:
        UserError: It cannot be read, or a line of it is no object.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot use {path}: it is no label file ({error})") from error
    objects = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                objects.append(_object(line.split(), size, len(classes)))
            except ValueError as error:
                raise UserError(f"cannot use {path}: line {number} {error}; correct or remove it") from None
    return tuple(objects)


def _object(words: Sequence[str], size: tuple[int, int], classes: int) -> Annotation:
    try:
        label, values = float(words[0]), [float(word) for word in words[1:]]
    except ValueError:
        raise ValueError("holds something else than numbers") from None
    if len(values) != 4 and (len(values) < 6 or len(values) % 2):
        raise ValueError(f"has {len(words)} numbers, not a class with a box (4) or a polygon (6 or more)")
    if not (label.is_integer() and 0 <= label < classes):
        raise ValueError(f"names class {words[0]}, but there are {classes}, counted from 0")
    if not all(math.isfinite(value) and -1 <= value <= 2 for value in values):
        raise ValueError("has a number far outside [0, 1]; they must be parts of the image's width and height")
    width, height = size
    if len(values) > 4:
        polygon = [value * size[i % 2] for i, value in enumerate(values)]
        x, y = polygon[0::2], polygon[1::2]
        return Annotation((min(x), min(y), max(x), max(y)), int(label), [polygon])
    cx, cy, w, h = values
    box = ((cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height)
    return Annotation(box, int(label))


def photo_size(path: Path) -> tuple[int, int]:
    """Return width and height of an image, which its label file does not tell.

    Raises:
        UserError: The file is missing or no photo.
    """
    try:
        return read_size(path)
    except Exception as error:  # a damaged file can make a decoder fail in any way at all
        raise UserError(f"cannot use photo {path}: it is missing, damaged or no photo; replace or remove it") from error
