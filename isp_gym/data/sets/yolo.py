"""Data sets in ultralytics' layout: a YAML with names and folders, photos in images/, a text file each in labels/."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isp_gym.config import read_yaml
from isp_gym.data.annotations.yolo_txt import photo_size, read_labels
from isp_gym.data.sets.base_annotated import AnnotatedItem, PhotoAnnotatedSource
from isp_gym.data.sets.folder import EXTENSIONS
from isp_gym.data.sets.folder_index import snapshot, walk
from isp_gym.data.sets.split_by_hash import from_lists
from isp_gym.errors import UserError

_LAYOUT = (
    "expected a data.yaml with names, train, val and perhaps test, whose folders (or lists of files) lie in images/ "
    "with a text file for each photo in labels/"
)


@dataclass(frozen=True)
class _Layout:
    """What a YAML says: its file, the folder that names start from, the classes, and where train, val and test are."""

    file: Path
    root: Path
    classes: tuple[str, ...]
    places: dict[str, tuple[Path, ...]]


class YoloFolder(PhotoAnnotatedSource):
    """Photos with YOLO's label files (boxes, or polygons as masks), unprocessed to dark RAW-RGB.

    A photo without a label file has no objects, as the format has it; a warning says how many there are.
    """

    name = "yolo"
    argument = "PATH"
    licence = "that of the data"
    reference = "docs.ultralytics.com/datasets/detect and docs.ultralytics.com/datasets/segment"
    description = "photos with boxes or masks in YOLO's text files, unprocessed to dark RAW-RGB"
    layout = _LAYOUT

    def version(self) -> str:
        """Return that what the files hold is their version."""
        return "as on disk"

    def fingerprint(self, argument: str) -> str:
        """Return digest of the YAML, and of the paths, sizes and times of all that lies where it points."""
        layout = _layout(argument)
        folders = {folder for places in layout.places.values() for place in places for folder in _folders(place)}
        return repr((layout, [snapshot(str(folder)) for folder in sorted(folders)]))

    def splits(self, argument: str) -> dict[str, Sequence[AnnotatedItem]]:
        """Return the photos of each split, in the order of the lists or of their paths."""
        layout = _layout(argument)
        return from_lists({word: _items(layout, word) for word in layout.places})


def _layout(argument: str) -> _Layout:
    file = _file(Path(argument).expanduser().absolute())
    content = read_yaml(file)
    names = content.get("names")
    classes = list(names.values()) if isinstance(names, dict) else names
    if not classes or (isinstance(names, dict) and list(names) != list(range(len(names)))):
        raise UserError(f"{file} must name its classes from 0 on under 'names'; {_LAYOUT}")
    if "kpt_shape" in content:
        raise UserError(f"{file} is of poses (kpt_shape), whose label files are no boxes or polygons")
    root = file.parent / str(content.get("path") or "")
    places = {word: _places(content.get(word), root, file) for word in ("train", "val", "test")}
    for word in ("train", "val"):
        if not places[word]:
            raise UserError(f"{file} says nothing of '{word}'; {_LAYOUT}")
    found = {word: paths for word, paths in places.items() if paths}
    return _Layout(file, root if root.is_dir() else file.parent, tuple(str(name) for name in classes), found)


def _file(path: Path) -> Path:
    """Return the YAML itself, or the one in a folder."""
    if path.is_file():
        return path
    files = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    if len(files) != 1:
        found = ", ".join(file.name for file in files) or "no YAML file"
        raise UserError(f"{path} has {found}; give data=yolo:FILE.yaml, or a folder with one; {_LAYOUT}")
    return files[0]


def _places(entry: Any, root: Path, file: Path) -> tuple[Path, ...]:
    """The folders or lists of files of one split: below ``path``, or else beside the YAML, where exports put them."""
    found = []
    for name in map(str, [entry] if isinstance(entry, str) else entry or ()):
        candidates = [root / name, file.parent / name, file.parent / name.removeprefix("../")]
        place = next((path for path in candidates if path.exists()), None)
        if place is None:
            raise UserError(f"{file} names {name}, which is not at {candidates[0]}; {_LAYOUT}")
        found.append(Path(os.path.normpath(place)))
    return tuple(found)


def _folders(place: Path) -> list[Path]:
    """Return what is looked through for changes."""
    folders = [place, _beside(place)] if place.is_dir() else [place.parent]
    return [folder for folder in folders if folder.is_dir()]


def _items(layout: _Layout, word: str) -> list[AnnotatedItem]:
    photos = [photo for place in layout.places[word] for photo in _photos(place)]
    items = [_item(layout, photo) for photo in photos]
    bare = sum(not Path(item.source).exists() for item in items)
    if bare == len(items):
        where = _beside(photos[0]).with_suffix(".txt") if photos else layout.places[word][0]
        raise UserError(f"none of the {len(items)} {word} photos has a label file such as {where}; {_LAYOUT}")
    if bare:
        warnings.warn(
            f"{bare} of {len(items)} {word} photos have no label file: they count as without objects", stacklevel=2
        )
    return items


def _photos(place: Path) -> list[Path]:
    if place.is_dir():
        return [path for entry in walk(str(place)) if _is_photo(path := Path(entry.path))]
    lines = [line.strip() for line in place.read_text(encoding="utf-8").splitlines()]
    return [place.parent / line for line in lines if line]


def _is_photo(path: Path) -> bool:
    """By its ending, or because it has labels: a photo of a kind that is not read must not get lost in silence."""
    suffix = path.suffix.lower()
    return suffix in EXTENSIONS or (suffix != ".txt" and _beside(path).with_suffix(".txt").is_file())


def _beside(path: Path) -> Path:
    """Return the same path with its last ``images`` become ``labels``."""
    parts = list(path.parts)
    if "images" in parts:
        parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def _item(layout: _Layout, photo: Path) -> AnnotatedItem:
    labels = _beside(photo).with_suffix(".txt")
    name = Path(os.path.relpath(photo, layout.root)).as_posix()
    try:
        size = photo_size(photo)
        objects = read_labels(labels, size, layout.classes) if labels.exists() else ()
        return AnnotatedItem(name, photo, None, "", size, objects, layout.classes, str(labels))
    except UserError as error:
        return AnnotatedItem(name, photo, None, str(error), source=str(labels))
