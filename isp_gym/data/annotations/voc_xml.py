"""Pascal VOC's annotation files: one XML an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from isp_gym.data.annotations.letterbox import Box
from isp_gym.errors import UserError


@dataclass(frozen=True)
class VocObject:
    """One object: its class by name, x1, y1, x2, y2 in pixels from 0, and whether VOC calls it difficult."""

    name: str
    box: Box
    difficult: bool


@dataclass(frozen=True)
class VocAnnotation:
    """Width and height of the image, and its objects; none is a valid answer."""

    size: tuple[int, int]
    objects: tuple[VocObject, ...]


def read_voc(path: Path) -> VocAnnotation:
    """Read one file.

    Raises:
        UserError: The file is missing, empty or no VOC annotation.
    """
    try:
        root = ElementTree.parse(path).getroot()
        shown = _part(root, "size")
        size = (int(_text(shown, "width")), int(_text(shown, "height")))
        return VocAnnotation(size, tuple(_object(entry) for entry in root.iter("object")))
    except OSError as error:
        raise UserError(f"cannot use {path}: {error.strerror}; every image needs its annotation") from error
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(f"cannot use {path}: it is no Pascal VOC annotation ({error}); replace or remove it") from error


def _object(entry: ElementTree.Element) -> VocObject:
    # VOC counts pixels from 1 and includes the last one.
    box = _part(entry, "bndbox")
    x1, y1, x2, y2 = (float(_text(box, name)) for name in ("xmin", "ymin", "xmax", "ymax"))
    difficult = (entry.findtext("difficult") or "0").strip() == "1"
    return VocObject(_text(entry, "name"), (x1 - 1, y1 - 1, x2, y2), difficult)


def _part(entry: ElementTree.Element, name: str) -> ElementTree.Element:
    part = entry.find(name)
    if part is None:
        raise ValueError(f"it has no {name}")
    return part


def _text(entry: ElementTree.Element, name: str) -> str:
    text = (entry.findtext(name) or "").strip()
    if not text:
        raise ValueError(f"it has no {name}")
    return text
