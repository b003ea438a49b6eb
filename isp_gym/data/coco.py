"""Data sets annotated in COCO's JSON format: boxes, classes, masks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from isp_gym.data.annotated import AnnotatedItem, Annotation, PhotoAnnotatedSource
from isp_gym.data.coco_classes import COCO_CLASSES, coco_class
from isp_gym.errors import UserError

_LAYOUT = (
    "expected annotations/*train*.json and annotations/*val*.json (and *test*.json if there is one), or one .json file "
    "with its images beside it or in images/"
)


def held_out(name: str) -> bool:
    """Whether a training image is in the fixed tenth that is kept for validation."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 10 == 0


class CocoFolder(PhotoAnnotatedSource):
    """Your own detector's data: photos with a COCO JSON, unprocessed to dark RAW-RGB."""

    name = "coco"
    argument = "PATH"
    licence = "that of the data (COCO itself: CC BY 4.0 for the annotations, Flickr's terms for the photos)"
    reference = "Lin et al., Microsoft COCO, ECCV 2014, cocodataset.org"
    description = "photos with boxes and masks in a COCO JSON, unprocessed to dark RAW-RGB"

    def version(self) -> str:
        """What the files hold is their version."""
        return "as on disk"

    def items(self, argument: str, split: str) -> Sequence[AnnotatedItem]:
        """The images of ``split``, in the order of the JSON."""
        path = Path(argument).expanduser().absolute()
        if path.is_file():
            chosen = [item for item in _read(path, path.parent) if _draw(item.name) == split]
        elif path.is_dir():
            chosen = list(_folder_split(path, split))
        else:
            raise UserError(f"no COCO data at {argument}; give data=coco:PATH; {_LAYOUT}")
        if not chosen:
            raise UserError(f"{path} has no {split} images; {_LAYOUT}")
        return chosen


def _draw(name: str) -> str:
    part = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) % 10
    return "train" if part < 6 else "validation" if part < 8 else "test"


def _folder_split(root: Path, split: str) -> Sequence[AnnotatedItem]:
    """Without annotated test images (COCO's own has none), val is the test split and a tenth of train validation."""
    files = sorted((root / "annotations").glob("*.json"))
    found = {word: [f for f in files if word in f.stem.lower()] for word in ("train", "val", "test")}
    found["val"] = [f for f in found["val"] if f not in found["train"]]
    for word in ("train", "val"):
        if len(found[word]) != 1:
            names = ", ".join(f.name for f in found[word]) or "none"
            raise UserError(f"{root} has {names} for its {word} annotations, not one file; {_LAYOUT}")
    if found["test"]:
        return _read(found[{"train": "train", "validation": "val", "test": "test"}[split]][0], root)
    if split == "test":
        return _read(found["val"][0], root)
    return [item for item in _read(found["train"][0], root) if held_out(item.name) == (split == "validation")]


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
        An item for each image of the file, also for those without objects.

    Raises:
        UserError: The file is not COCO's format. (A missing image is a fault of its item.)
    """
    names, rows = _parse(path, path.stat().st_mtime_ns)
    order = COCO_CLASSES if coco_ids else tuple(names.values())
    labels = {key: coco_class(name) if coco_ids else order.index(name) for key, name in names.items()}
    items = []
    for image, entries in rows:
        file = find(image["file_name"])
        missing = f"{path} lists {image['file_name']}, which is not at {file}; download it or take it out"
        objects = tuple(_annotation(a, labels[a["category_id"]]) for a in entries)
        size = (int(image["width"]), int(image["height"]))
        fault = "" if file.is_file() else missing
        items.append(AnnotatedItem(image["file_name"], file, None, fault, size, objects, order, str(path)))
    return tuple(items)


@lru_cache(maxsize=8)
def _parse(path: Path, changed: int) -> tuple[dict[int, str], list[tuple[dict[str, Any], list[dict[str, Any]]]]]:
    try:
        content = json.loads(path.read_text())
        names = {c["id"]: c["name"] for c in sorted(content["categories"], key=lambda c: c["id"])}
        rows: dict[int, tuple[dict[str, Any], list[dict[str, Any]]]] = {i["id"]: (i, []) for i in content["images"]}
        for annotation in content["annotations"]:
            rows[annotation["image_id"]][1].append(annotation)
            names[annotation["category_id"]]  # must exist
            _annotation(annotation, 0)
        for image, _ in rows.values():
            image["file_name"], int(image["width"]), int(image["height"])
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise UserError(
            f"cannot use {path}: it is no COCO annotation file ({type(error).__name__}: {error})"
        ) from error
    return names, list(rows.values())


def _annotation(entry: dict[str, Any], label: int) -> Annotation:
    x, y, width, height = (float(value) for value in entry["bbox"])
    return Annotation((x, y, x + width, y + height), label, entry.get("segmentation"), bool(entry.get("iscrowd", 0)))
