"""Pascal VOC's annotation files: one XML an image."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from isp_gym.data.annotated import Annotation
from isp_gym.data.coco_classes import coco_class
from isp_gym.errors import UserError


def read_voc(path: Path) -> tuple[tuple[int, int], tuple[Annotation, ...]]:
    """Read one file; classes become COCO's ids, see :func:`isp_gym.data.coco_classes.coco_class`.

    Returns:
        Width and height of the image, and its objects; none is a valid answer.

    Raises:
        UserError: The file is missing, empty, no VOC annotation, or names a class that COCO has not.
    """
    try:
        root = ElementTree.parse(path).getroot()
        size = (int(_text(root, "size/width")), int(_text(root, "size/height")))
        objects = tuple(_annotation(entry, path) for entry in root.iter("object"))
    except OSError as error:
        raise UserError(f"cannot use {path}: {error.strerror}; every image needs its annotation") from error
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"cannot use {path}: it is no Pascal VOC annotation ({error}); replace or remove it") from error
    if min(size) < 1:
        raise UserError(f"cannot use {path}: it says that the image has {size[0]} x {size[1]} pixels")
    return size, objects


def _annotation(entry: ElementTree.Element, path: Path) -> Annotation:
    # VOC counts pixels from 1 and includes the last one.
    x1, y1, x2, y2 = (float(_text(entry, f"bndbox/{name}")) for name in ("xmin", "ymin", "xmax", "ymax"))
    try:
        label = coco_class(_text(entry, "name"))
    except UserError as error:
        raise UserError(f"cannot use {path}: {error}") from error
    return Annotation((x1 - 1, y1 - 1, x2, y2), label)


def _text(entry: ElementTree.Element, where: str) -> str:
    text = entry.findtext(where)
    if text is None or not text.strip():
        raise ValueError(f"it has no {where}")
    return text.strip()
