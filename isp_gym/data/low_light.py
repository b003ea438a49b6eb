"""LOD and LIS: RAW pictures of the same scenes in the dark and well lit, with the camera's JPEG beside each."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from isp_gym.data.annotated import AnnotatedItem, Annotation, RawAnnotatedSource
from isp_gym.data.coco import held_out, read_coco
from isp_gym.data.coco_classes import COCO_CLASSES
from isp_gym.data.voc_xml import read_voc
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
    layout: str

    def __init__(self, part: str, name: str) -> None:
        self.part, self.name = part, name
        self.description = f"{self.title}: {part} RAW with boxes of COCO's classes; the camera's JPEG beside each"

    def items(self, argument: str, split: str) -> Sequence[AnnotatedItem]:
        """The shots of ``split``: dark ones first, in the order of the lists."""
        root = Path(argument).expanduser().absolute()
        if not root.is_dir():
            raise UserError(f"the folder {argument} does not exist; give data={self.name}:PATH")
        # What is distributed has no validation split: a fixed tenth of the training scenes is held out.
        listed = [item for light in PARTS[self.part] for item in self.listed(root, light, split == "test")]
        chosen = listed if split == "test" else [i for i in listed if held_out(_scene(i)) == (split == "validation")]
        if not chosen:
            raise UserError(f"{root} has no {split} images of {self.title}; {self.layout}")
        return chosen

    @abstractmethod
    def listed(self, root: Path, light: str, test: bool) -> Sequence[AnnotatedItem]:
        """The test shots, or all others, in this light."""

    def folder(self, root: Path, name: str) -> Path:
        """A folder such as ``RAW-dark``, also as ``raw_Dark``.

        Raises:
            UserError: There is none.
        """
        plain = name.lower().replace("_", "-")
        for path in sorted(root.iterdir()):
            if path.is_dir() and path.name.lower().replace("_", "-") == plain:
                return path
        raise UserError(f"{root} has no folder {name}; {self.layout}")

    def camera_jpeg(self, folder: Path, stem: str) -> Path:
        """The camera's own image of a shot, which may be missing."""
        candidates = [folder / f"{stem}{suffix}" for suffix in _JPEGS]
        return next((path for path in candidates if path.is_file()), candidates[0])


def _missing(*paths: Path) -> str:
    """The fault of a shot of which a file is missing."""
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
        "RAW-dark-Annotations/N.xml) and the lists train.txt and val.txt"
    )

    def version(self) -> str:
        """One version, of 2021."""
        return "2021"

    def listed(self, root: Path, light: str, test: bool) -> Sequence[AnnotatedItem]:
        """``val.txt`` is the test split, as in AdaptiveISP. A list names shots of one light, or of both."""
        raw, rgb = self.folder(root, f"RAW-{light}"), self.folder(root, f"RGB-{light}")
        stems = [stem for stem in self._list(root, "val.txt" if test else "train.txt") if _is(stem, light)]
        return [self._item(root, raw, rgb, stem) for stem in stems]

    def _list(self, root: Path, name: str) -> tuple[str, ...]:
        for path in (root / name, root / "ImageSets" / "Main" / name, root / "ImageSets" / name):
            if path.is_file():
                return tuple(Path(line.split()[0]).stem for line in path.read_text().splitlines() if line.strip())
        raise UserError(f"{root} has no list {name}; {self.layout}")

    def _item(self, root: Path, raw: Path, rgb: Path, stem: str) -> AnnotatedItem:
        folders = (raw.parent / f"{raw.name}-Annotations", raw / "Annotations", root / "Annotations" / raw.name)
        candidates = [folder / f"{stem}.xml" for folder in (*folders, root / "Annotations")]
        xml = next((path for path in candidates if path.is_file()), candidates[-1])
        image, camera = raw / f"{stem}.png", self.camera_jpeg(rgb, stem)
        size: tuple[int, int] = (0, 0)
        annotations: tuple[Annotation, ...] = ()
        fault = _missing(image, camera, xml)
        if not fault:
            try:
                size, annotations = _cached_voc(xml, xml.stat().st_mtime_ns)
            except UserError as error:
                fault = str(error)
        name = f"{raw.name}/{image.name}"
        return AnnotatedItem(name, image, None, fault, size, annotations, COCO_CLASSES, str(xml), camera)


_cached_voc = lru_cache(maxsize=50_000)(lambda path, changed: read_voc(path))


def _is(stem: str, light: str) -> bool:
    return not stem.isdigit() or (int(stem) % 2 == 0) == (light == "dark")


class LIS(LowLight):
    """Chen et al., Instance Segmentation in the Dark, IJCV 2023."""

    title = "LIS"
    licence = "research (see the data set's page)"
    reference = "Chen, Fu, Wei, Zheng and Heide, IJCV 2023"
    layout = (
        "expected RAW-dark/JPEGImages/N.png, RGB-dark/JPEGImages/N.JPG, likewise normal, and "
        "annotations/lis_coco_png_{train,test}[+1].json, where +1 is dark"
    )

    def version(self) -> str:
        """One version, of 2023."""
        return "2023"

    def listed(self, root: Path, light: str, test: bool) -> Sequence[AnnotatedItem]:
        """As in the JSON file of the split; its 8 classes become COCO's."""
        raw, rgb = (self.folder(root, f"{kind}-{light}") / "JPEGImages" for kind in ("RAW", "RGB"))
        name = f"lis_coco_png_{'test' if test else 'train'}{'+1' if light == 'dark' else ''}.json"
        file = root / "annotations" / name
        if not file.is_file():
            raise UserError(f"{root} has no annotations/{file.name}; {self.layout}")
        items = read_coco(file, lambda name: raw / f"{Path(name).stem}.png", coco_ids=True)
        return [self._item(item, raw, rgb) for item in items]

    def _item(self, item: AnnotatedItem, raw: Path, rgb: Path) -> AnnotatedItem:
        camera = self.camera_jpeg(rgb, item.input.stem)
        name, fault = f"{raw.parent.name}/{item.input.name}", item.fault or _missing(camera)
        return replace(item, name=name, fault=fault, camera=camera)
