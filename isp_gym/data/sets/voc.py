"""Data sets in Pascal VOC's layout: photos, an XML each, and lists of names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from isp_gym.data.annotations.voc_xml import VocAnnotation, read_voc
from isp_gym.data.sets.base_annotated import AnnotatedItem, Annotation, PhotoAnnotatedSource
from isp_gym.data.sets.split_by_hash import from_lists
from isp_gym.errors import UserError

VOC_CLASSES: tuple[str, ...] = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_SUFFIXES = (".jpg", ".jpeg", ".JPG", ".JPEG", ".png", ".PNG")
_LAYOUT = (
    "expected JPEGImages/NAME.jpg, Annotations/NAME.xml and ImageSets/Main/train.txt, val.txt and, if there is one, "
    "test.txt, or trainval.txt and test.txt"
)


class VocFolder(PhotoAnnotatedSource):
    """Photos with boxes in Pascal VOC's XML, unprocessed to dark RAW-RGB; any classes.

    The classes are VOC's twenty, or, where other names occur, all names that do, in alphabetical order. What VOC calls
    difficult counts as a crowd region, which is ignored.
    """

    name = "voc"
    argument = "PATH"
    licence = "that of the data (Pascal VOC itself: Flickr's terms)"
    reference = (
        "Everingham et al., The Pascal Visual Object Classes Challenge, IJCV 2010, host.robots.ox.ac.uk/pascal/VOC"
    )
    description = "photos with boxes in Pascal VOC's XML files, unprocessed to dark RAW-RGB"
    layout = _LAYOUT

    def version(self) -> str:
        """Return that what the files hold is their version."""
        return "as on disk"

    def splits(self, argument: str) -> dict[str, Sequence[AnnotatedItem]]:
        """Return the images of each split, in the order of its list; only all annotations together tell the classes."""
        root = Path(argument).expanduser().absolute()
        if not root.is_dir():
            raise UserError(f"the folder {argument} does not exist; give it with data=voc:PATH")
        lists = _lists(root)
        read = {name: _read(root / "Annotations" / f"{name}.xml") for names in lists.values() for name in names}
        found = {o.name for annotation in read.values() if not isinstance(annotation, str) for o in annotation.objects}
        classes = VOC_CLASSES if found <= set(VOC_CLASSES) else tuple(sorted(found))
        return from_lists(
            {word: [_item(root, name, read[name], classes) for name in names] for word, names in lists.items()}
        )


def _lists(root: Path) -> dict[str, list[str]]:
    """Return names of the images of ``train`` and ``val``, and of ``test`` if there is one."""
    folder = root / "ImageSets" / "Main"
    found = {word: folder / f"{word}.txt" for word in ("train", "val", "test", "trainval")}
    found = {word: path for word, path in found.items() if path.is_file()}
    if "trainval" in found and "test" in found and not {"train", "val"} <= set(found):
        found = {"train": found["trainval"], "val": found["test"]}
    found.pop("trainval", None)
    for word in ("train", "val"):
        if word not in found:
            raise UserError(f"there is no {folder / word}.txt; {_LAYOUT}")
    lines = {word: path.read_text(encoding="utf-8").splitlines() for word, path in found.items()}
    return {word: [line.strip() for line in lines[word] if line.strip()] for word in lines}


def _read(path: Path) -> VocAnnotation | str:
    """Return the annotation, or what is wrong with it."""
    try:
        return read_voc(path)
    except UserError as error:
        return str(error)


def _item(root: Path, name: str, annotation: VocAnnotation | str, classes: tuple[str, ...]) -> AnnotatedItem:
    photos = [root / "JPEGImages" / f"{name}{suffix}" for suffix in _SUFFIXES]
    photo = next((path for path in photos if path.is_file()), photos[0])
    xml = str(root / "Annotations" / f"{name}.xml")
    if isinstance(annotation, str):
        return AnnotatedItem(name, photo, None, annotation, source=xml)
    fault = "" if photo.is_file() else f"there is no {photo}; download it, or take {name} off the lists"
    objects = tuple(Annotation(o.box, classes.index(o.name), crowd=o.difficult) for o in annotation.objects)
    return AnnotatedItem(name, photo, None, fault, annotation.size, objects, classes, xml)
