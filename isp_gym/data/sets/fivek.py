"""MIT-Adobe FiveK: RAW photographs, each retouched by five experts (Bychkovsky et al., CVPR 2011)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from isp_gym.data.colour import linear_prophoto_to_srgb, prophoto_to_linear
from isp_gym.data.readers.camera_raw import check_rawpy, read_raw
from isp_gym.data.readers.photos import read_photo
from isp_gym.data.sets.base_files import FileSource, Item, central_square, to_tensor
from isp_gym.errors import UserError

EXPERTS = "abde"  # besides C, the one that papers use
_LISTS = {"train": "training.json", "validation": "validation.json", "test": "testing.json"}
_BOUNDS = {"train": 0.7, "validation": 0.8, "test": 1.0}  # the original archive lists no split
_LAYOUT = (
    "expected raw/CAMERA/NAME.dng with processed/tiff16_{expert}/NAME.tif and training.json, validation.json and "
    "testing.json, or the original archive's raw_photos/HQ*/photos/NAME.dng with tiff16_{expert}/NAME.tif"
)
_FRAMING = 0.05  # the experts' files are cut a few pixels tighter than the RAW; more is another photo


class FiveK(FileSource):
    """The DNG as input, one expert's 16-bit TIFF, brought from ProPhoto RGB to sRGB, as target."""

    argument = "PATH"
    licence = "research only (LicenseAdobe and LicenseAdobeMIT of the archive)"
    reference = "Bychkovsky, Paris, Chan and Durand, CVPR 2011, data.csail.mit.edu/graphics/fivek"

    def __init__(self, expert: str, name: str) -> None:
        self.expert, self.name, self.layout = expert, name, _LAYOUT.format(expert=expert)
        self.description = f"MIT-Adobe FiveK: DNG files with the sRGB of Expert {expert.upper()} as target"

    def version(self) -> str:
        """Return the one version that the archive has had since 2011."""
        return "2011"

    def check(self, argument: str) -> None:
        """Raise ``UserError`` if rawpy is missing or the folder is not laid out as FiveK is."""
        check_rawpy()
        super().check(argument)

    def splits(self, argument: str) -> dict[str, list[Item]]:
        """Return the pairs of each split, by name."""
        root = Path(argument).expanduser().absolute()
        if not root.is_dir():
            raise UserError(f"the FiveK folder {argument} does not exist; give it with data={self.name}:PATH")
        inputs = _by_name(root, ("raw/*/*", "raw_photos/HQ*/photos/*"), (".dng", ".tif", ".tiff"))
        folders = (f"processed/tiff16_{self.expert}/*", f"tiff16_{self.expert}/*")
        targets = _by_name(root, folders, (".tif", ".tiff"))
        if not inputs or not targets:
            what = "inputs" if not inputs else f"TIFF files of Expert {self.expert.upper()}"
            raise UserError(f"{root} holds no {what}; {self.layout}")
        return {split: _pairs(root, names, inputs, targets) for split, names in _names(root, inputs).items()}

    def read(self, item: Item, image_size: int, seed: int, options: None) -> tuple[Tensor, Tensor, None]:
        """Read both, cut to the same framing; the target is resized scene-linear and becomes sRGB."""
        assert item.target is not None
        source = read_raw(item.input) if item.input.suffix.lower() == ".dng" else read_photo(item.input)
        expert = read_photo(item.target)
        _check_framing(source, expert, item)
        linear = prophoto_to_linear(expert.astype(np.float32) / np.iinfo(expert.dtype).max).astype(np.float32)
        target = linear_prophoto_to_srgb(central_square(linear, image_size)).astype(np.float32)
        return to_tensor(central_square(source, image_size)), to_tensor(target), None


def _by_name(root: Path, patterns: Sequence[str], suffixes: Sequence[str]) -> dict[str, Path]:
    paths = sorted(path for pattern in patterns for path in root.glob(pattern))
    found: dict[str, Path] = {}
    for path in paths:
        if path.suffix.lower() in suffixes and found.setdefault(path.stem, path) != path:
            raise UserError(f"{found[path.stem]} and {path} have the same name; remove one")
    return found


def _names(root: Path, inputs: dict[str, Path]) -> dict[str, list[str]]:
    """Return the names of each split: as listed, or by a digest of the name."""
    if not any((root / name).exists() for name in _LISTS.values()):
        drawn = {name: int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) / 16**16 for name in sorted(inputs)}
        splits: dict[str, list[str]] = {split: [] for split in _BOUNDS}
        for name, draw in drawn.items():
            splits[next(split for split, bound in _BOUNDS.items() if draw < bound)].append(name)
    else:
        splits = {split: list(_read_list(root / name)) for split, name in _LISTS.items()}
    for split, names in splits.items():
        if not names:
            raise UserError(f"{root} has no {split} photos; is it all of FiveK?")
    return splits


@lru_cache(maxsize=16)
def _read_list(path: Path) -> tuple[str, ...]:
    """Return names in a list of the common layout: a JSON object whose keys are names, or an array of names."""
    try:
        content = json.loads(path.read_text())
        return tuple(Path(str(name)).stem if "." in str(name)[-5:] else str(name) for name in content)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"cannot use {path}: {error}; it must list the names of one split") from error


def _pairs(root: Path, names: Sequence[str], inputs: dict[str, Path], targets: dict[str, Path]) -> list[Item]:
    items = []
    for name in names:
        lost = [what for files, what in ((inputs, "DNG"), (targets, "expert's TIFF")) if name not in files]
        fault = f"{root} lacks the {lost[0]} of {name}; download it, or take {name} off the lists" if lost else ""
        items.append(Item(name, inputs.get(name, root / f"{name}.dng"), targets.get(name), fault))
    return items


def _check_framing(source: npt.NDArray, target: npt.NDArray, item: Item) -> None:
    """Return the aspects must agree, or input and target would not show the same square."""
    (height, width), (tall, wide) = source.shape[:2], target.shape[:2]
    if abs(np.log((height / width) / (tall / wide))) > _FRAMING:
        raise UserError(
            f"{item.input} ({width} x {height}) and {item.target} ({wide} x {tall}) do not show the same photo; "
            "replace or remove them"
        )
