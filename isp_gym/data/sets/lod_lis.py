"""LOD and LIS: RAW pictures of the same scenes in the dark and well lit, with the camera's JPEG beside each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from isp_gym.data.annotations.coco_classes import COCO_CLASSES, coco_class
from isp_gym.data.annotations.voc_xml import read_voc
from isp_gym.data.annotations.yolo_txt import photo_size, read_labels
from isp_gym.data.sets.base_annotated import AnnotatedItem, Annotation, RawAnnotatedSource
from isp_gym.data.sets.coco import read_coco
from isp_gym.data.sets.split_by_hash import in_validation_tenth
from isp_gym.errors import UserError

PARTS = {"dark": ("dark",), "normal": ("normal",), "all": ("dark", "normal")}
_JPEGS = (".JPG", ".jpg", ".jpeg", ".png")


class LowLight(RawAnnotatedSource):
    """Demosaicked RAW in PNG as input, labels with COCO's 80 classes, and no target.

    Args:
        part: ``"dark"``, ``"normal"`` or ``"all"``.
        name: As in a data spec.
    """

    argument = "PATH"
    title: str
    shows = "boxes"
    layout: str

    def __init__(self, part: str, name: str) -> None:
        self.part, self.name = part, name
        self.description = (
            f"{self.title}: {part} RAW with {self.shows} of COCO's classes; the camera's JPEG beside each"
        )

    def splits(self, argument: str) -> dict[str, list[AnnotatedItem]]:
        """Return the shots of each split: dark ones first, in the order of the lists.

        What is distributed has no validation split: a fixed tenth of the training scenes is held out.
        """
        root = Path(argument).expanduser().absolute()
        if not root.is_dir():
            raise UserError(f"the folder {argument} does not exist; give data={self.name}:PATH")
        train, test = ([i for light in PARTS[self.part] for i in self.shots(root, light, t)] for t in (False, True))
        splits: dict[str, list[AnnotatedItem]] = {"train": [], "validation": [], "test": test}
        for item in train:
            splits["validation" if in_validation_tenth(_scene(item)) else "train"].append(item)
        return splits

    @abstractmethod
    def shots(self, root: Path, light: str, test: bool) -> Sequence[AnnotatedItem]:
        """Return the test shots, or all others, in this light."""

    def folder(self, root: Path, name: str) -> Path:
        """Return a folder such as ``RAW-dark``, also as ``raw_Dark``.

        Raises:
            UserError: There is none.
        """
        plain = name.lower().replace("_", "-")
        for path in sorted(root.iterdir()):
            if path.is_dir() and path.name.lower().replace("_", "-") == plain:
                return path
        raise UserError(f"{root} has no folder {name}; {self.layout}")

    def camera_jpeg(self, folder: Path, stem: str) -> Path:
        """Return the camera's own image of a shot, which may be missing."""
        candidates = [folder / f"{stem}{suffix}" for suffix in _JPEGS]
        return next((path for path in candidates if path.is_file()), candidates[0])


def _missing(*paths: Path) -> str:
    """Return the fault of a shot of which a file is missing."""
    lost = [path for path in paths if not path.is_file()]
    return f"there is no {lost[0]}; download it again, or take shot {lost[0].stem} off the lists" if lost else ""


def _scene(item: AnnotatedItem) -> str:
    """Both exposures of a scene belong to one split: the long one is n, the short one n + 1, n odd."""
    stem = item.input.stem
    return str((int(stem) - 1) // 2) if stem.isdigit() else stem


class LOD(LowLight):
    """Hong et al., Crafting Object Detection in Very Low Light, BMVC 2021; the split of AdaptiveISP."""

    title = "LOD"
    licence = "research (see the data set's page)"
    reference = "Hong, Wei, Chen and Fu, BMVC 2021; split and labels: AdaptiveISP, NeurIPS 2024"
    layout = (
        "expected RAW-dark, RGB-dark, RAW-normal and RGB-normal with N.png and N.JPG, Annotations/N.xml (or "
        "RAW-dark-Annotations/N.xml, or labels/N.txt) and the lists train.txt and val.txt"
    )

    def version(self) -> str:
        """Return the one version, of 2021."""
        return "2021"

    def shots(self, root: Path, light: str, test: bool) -> Sequence[AnnotatedItem]:
        """List the shots: ``val.txt`` is the test split, as in AdaptiveISP; a list may name both exposures."""
        raw, rgb = self.folder(root, f"RAW-{light}"), self.folder(root, f"RGB-{light}")
        stems = [stem for stem in self._list(root, "val.txt" if test else "train.txt") if _is(stem, light)]
        xmls = (root / f"{raw.name}-Annotations", raw / "Annotations", root / "Annotations" / raw.name)
        places = [(folder, ".xml") for folder in (*xmls, root / "Annotations") if folder.is_dir()]
        places += [(folder, ".txt") for folder in (root / "labels" / raw.name, root / "labels") if folder.is_dir()]
        return [self._item(raw, rgb, stem, places or [(root / "Annotations", ".xml")]) for stem in stems]

    def _list(self, root: Path, name: str) -> tuple[str, ...]:
        for path in (root / name, root / "ImageSets" / "Main" / name, root / "ImageSets" / name):
            if path.is_file():
                return tuple(Path(line.split()[0]).stem for line in path.read_text().splitlines() if line.strip())
        raise UserError(f"{root} has no list {name}; {self.layout}")

    def _item(self, raw: Path, rgb: Path, stem: str, places: Sequence[tuple[Path, str]]) -> AnnotatedItem:
        image, camera = raw / f"{stem}.png", self.camera_jpeg(rgb, stem)
        candidates = [folder / f"{stem}{suffix}" for folder, suffix in places]
        found = next((path for path in candidates if path.is_file()), candidates[0])
        size: tuple[int, int] = (0, 0)
        annotations: tuple[Annotation, ...] = ()
        fault = _missing(image, camera, found)
        if not fault:
            try:
                size, annotations = _annotations(found, image)
            except UserError as error:
                fault = str(error)
        name = f"{raw.name}/{image.name}"
        return AnnotatedItem(name, image, None, fault, size, annotations, COCO_CLASSES, str(found), camera)


def _annotations(path: Path, image: Path) -> tuple[tuple[int, int], tuple[Annotation, ...]]:
    """Return size of the image and its objects, from a VOC XML or a YOLO label file."""
    if path.suffix == ".txt":
        size = photo_size(image)
        return size, read_labels(path, size, COCO_CLASSES)
    voc = read_voc(path)
    try:
        return voc.size, tuple(Annotation(o.box, coco_class(o.name), crowd=o.difficult) for o in voc.objects)
    except UserError as error:
        raise UserError(f"cannot use {path}: {error}") from error


def _is(stem: str, light: str) -> bool:
    return not stem.isdigit() or (int(stem) % 2 == 0) == (light == "dark")


class LIS(LowLight):
    """Chen et al., Instance Segmentation in the Dark, IJCV 2023."""

    title = "LIS"
    shows = "boxes and masks"
    licence = "research (see the data set's page)"
    reference = "Chen, Fu, Wei, Zheng and Heide, IJCV 2023"
    layout = (
        "expected RAW-dark/JPEGImages/N.png, RGB-dark/JPEGImages/N.JPG, likewise normal, and "
        "annotations/lis_coco_{png,JPG}_{train,test}[+1].json, where +1 is dark"
    )

    def version(self) -> str:
        """Return the one version, of 2023."""
        return "2023"

    def shots(self, root: Path, light: str, test: bool) -> Sequence[AnnotatedItem]:
        """List the shots of the JSON file of the split; its 8 classes become COCO's."""
        raw, rgb = (self.folder(root, f"{kind}-{light}") / "JPEGImages" for kind in ("RAW", "RGB"))
        end = f"{'test' if test else 'train'}{'+1' if light == 'dark' else ''}.json"
        files = [root / "annotations" / f"lis_coco_{kind}_{end}" for kind in ("png", "JPG")]
        file = next((path for path in files if path.is_file()), None)
        if file is None:
            raise UserError(f"{root} has no annotations/{files[0].name}; {self.layout}")
        items = read_coco(file, lambda name: raw / f"{Path(name).stem}.png", coco_ids=True)
        return [self._item(item, raw, rgb) for item in items]

    def _item(self, item: AnnotatedItem, raw: Path, rgb: Path) -> AnnotatedItem:
        camera = self.camera_jpeg(rgb, item.input.stem)
        name, fault = f"{raw.parent.name}/{item.input.name}", item.fault or _missing(camera)
        return replace(item, name=name, fault=fault, camera=camera)
