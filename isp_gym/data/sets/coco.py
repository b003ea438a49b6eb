"""Data sets annotated in COCO's JSON format: boxes, classes, masks."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from isp_gym.data.annotations.coco_classes import COCO_CLASSES, coco_class
from isp_gym.data.cache import identity
from isp_gym.data.read_log import SPLITS
from isp_gym.data.sets.base_annotated import AnnotatedItem, Annotation, PhotoAnnotatedSource
from isp_gym.data.sets.split_by_hash import from_lists, split_by_hash
from isp_gym.errors import UserError

_LAYOUT = (
    "expected annotations/*train*.json and annotations/*val*.json (and *test*.json if there is one), or one .json file "
    "with its images beside it or in images/"
)
_Row = tuple[dict[str, Any], list[dict[str, Any]]]  # an image and its annotations


class CocoFolder(PhotoAnnotatedSource):
    """Your own detector's data: photos with a COCO JSON, unprocessed to dark RAW-RGB."""

    name = "coco"
    argument = "PATH"
    licence = "that of the data (COCO itself: CC BY 4.0 for the annotations, Flickr's terms for the photos)"
    reference = "Lin et al., Microsoft COCO, ECCV 2014, cocodataset.org"
    description = "photos with boxes and masks in a COCO JSON, unprocessed to dark RAW-RGB"
    layout = _LAYOUT

    def version(self) -> str:
        """Return that what the files hold is their version."""
        return "as on disk"

    def fingerprint(self, argument: str) -> str:
        """Digest, of a single JSON, its own and its images' paths, sizes and times: much else may lie beside it."""
        path = Path(argument).expanduser().absolute()
        if not path.is_file():
            return super().fingerprint(argument)
        files = [path, *(item.input for item in _read(path, path.parent) if item.input.is_file())]
        return hashlib.sha256(repr([identity(file) for file in files]).encode()).hexdigest()

    def splits(self, argument: str) -> dict[str, Sequence[AnnotatedItem]]:
        """Return the images of each split, in the order of the JSON."""
        path = Path(argument).expanduser().absolute()
        if path.is_file():
            items = _read(path, path.parent)
            return {split: [item for item in items if split_by_hash(item.name) == split] for split in SPLITS}
        if path.is_dir():
            lists = {word: _read(file, path) for word, file in _annotation_files(path).items()}
            if len({item.classes for items in lists.values() for item in items}) > 1:
                raise UserError(f"the annotation files of {path} do not have the same categories; make them so")
            return from_lists(lists)
        raise UserError(f"no COCO data at {argument}; give data=coco:PATH; {_LAYOUT}")


def _annotation_files(root: Path) -> dict[str, Path]:
    files = sorted((root / "annotations").glob("*.json"))
    # COCO's own folder also holds captions, key points and lists of images without annotations.
    files = [f for f in files if f.name.startswith("instances_")] or files
    found = {word: [f for f in files if word in f.stem.lower()] for word in ("train", "val", "test")}
    found["val"] = [f for f in found["val"] if f not in found["train"]]
    for word, paths in found.items():
        if len(paths) > 1 or (word != "test" and not paths):
            names = ", ".join(f.name for f in paths) or "none"
            raise UserError(f"{root} has {names} for its {word} annotations, not one file; {_LAYOUT}")
    return {word: paths[0] for word, paths in found.items() if paths}


def _read(path: Path, root: Path) -> tuple[AnnotatedItem, ...]:
    word = path.stem.removeprefix("instances_")
    folders = [root, root / "images", root / word, root / "images" / word]
    return read_coco(path, lambda name: next((f / name for f in folders if (f / name).is_file()), root / name))


def read_coco(path: Path, find: Callable[[str], Path], coco_ids: bool = False) -> tuple[AnnotatedItem, ...]:
    """Read a COCO JSON.

    Args:
        path: The file.
        find: Where the image of a file name lies.
        coco_ids: Labels become COCO's 80 ids, by name; otherwise they count the file's own categories by their ids.

    Returns:
        An item for each image of the file, also for those without objects. A missing image and an annotation that
        cannot be are faults of their item.

    Raises:
        UserError: The file is not COCO's format, or uses one id twice.
    """
    names, rows = _parse(path, path.stat().st_mtime_ns)
    order = COCO_CLASSES if coco_ids else tuple(names.values())
    try:
        labels = {key: coco_class(name) if coco_ids else order.index(name) for key, name in names.items()}
    except UserError as error:
        raise UserError(f"cannot use {path}: {error}") from error
    return tuple(_item(path, row, find(row[0]["file_name"]), order, labels) for row in rows)


def _item(path: Path, row: _Row, file: Path, order: tuple[str, ...], labels: dict[int, int]) -> AnnotatedItem:
    image, entries = row
    name, fault = image["file_name"], ""
    objects: list[Annotation] = []
    if not file.is_file():
        fault = f"{path} lists {name}, which is not at {file}; download it or take it out"
    for entry in entries:
        try:
            objects.append(_annotation(entry, labels))
        except ValueError as error:
            number = entry.get("id", "without an id")
            fault = fault or f"cannot use {path}: annotation {number} of '{name}' {error}; correct or remove it"
    size = (int(image["width"]), int(image["height"]))
    return AnnotatedItem(name, file, None, fault, size, tuple(objects), order, str(path))


def _annotation(entry: dict[str, Any], labels: dict[int, int]) -> Annotation:
    try:
        x, y, width, height = (float(value) for value in entry["bbox"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"has the bbox {entry.get('bbox')}, not x, y, width and height") from None
    label = labels.get(entry.get("category_id"))  # type: ignore[arg-type]
    if label is None:
        raise ValueError(f"has the category {entry.get('category_id')}, which is not listed")
    mask, crowd = entry.get("segmentation") or None, bool(entry.get("iscrowd", 0))
    return Annotation((x, y, x + width, y + height), label, mask, crowd)


@lru_cache(maxsize=8)
def _parse(path: Path, changed: int) -> tuple[dict[int, str], list[_Row]]:
    """Return category ids and names in the order of the ids, and the images with their annotations."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it is a {type(content).__name__}, not an object with images, annotations and categories")
        names = {c["id"]: str(c["name"]) for c in sorted(content["categories"], key=lambda c: c["id"])}
        rows: dict[int, _Row] = {image["id"]: (image, []) for image in content["images"]}
        for annotation in content["annotations"]:
            if annotation["image_id"] not in rows:
                raise ValueError(f"an annotation is of image {annotation['image_id']}, which is not listed")
            rows[annotation["image_id"]][1].append(annotation)
        for image, _ in rows.values():
            str(image["file_name"]), int(image["width"]), int(image["height"])
        _check_unique("category id", (c["id"] for c in content["categories"]))
        _check_unique("category name", names.values())
        _check_unique("image id", (image["id"] for image in content["images"]))
        _check_unique("file_name", (image["file_name"] for image in content["images"]))
        _check_unique("annotation id", (a["id"] for a in content["annotations"] if "id" in a))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise UserError(f"cannot use {path}: it is no COCO annotation file: {reason}") from error
    return names, list(rows.values())


def _check_unique(what: str, values: Iterable[Any]) -> None:
    repeated = [value for value, times in Counter(values).items() if times > 1]
    if repeated:
        raise ValueError(f"{what} {repeated[0]!r} stands there more than once")
