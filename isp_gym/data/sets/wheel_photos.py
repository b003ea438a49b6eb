"""The colour photographs inside Python packages that are installed anyway: real photos, no download, no account."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path

from isp_gym.data.sets.base_photos import Photo, PhotoSource
from isp_gym.errors import UserError


@dataclass(frozen=True)
class Wheel:
    """A package that carries photos.

    Attributes:
        name: As it is installed.
        package: As it is imported.
        folder: Where the photos lie in it.
        versions: Those known to carry them.
        reference: Where they are described.
    """

    name: str
    package: str
    folder: str
    versions: str
    reference: str


SCIKIT_IMAGE = Wheel(
    "scikit-image", "skimage", "data", "0.22 to 0.26", "scikit-image.org/docs/stable/api/skimage.data.html"
)
SCIKIT_LEARN = Wheel("scikit-learn", "sklearn", "datasets/images", "1.3 to 1.9", "sklearn.datasets.load_sample_images")
MATPLOTLIB = Wheel(
    "matplotlib", "matplotlib", "mpl-data/sample_data", "3.8 to 3.11", "matplotlib.cbook.get_sample_data"
)


@dataclass(frozen=True)
class WheelPhoto:
    """A photograph, by the file that it is in.

    Attributes:
        name: Of the file.
        split: Where it belongs.
        wheel: The package that carries it.
        licence: Its terms.
        author: Whom it is by, or where it is from.
        sha256: Of the file.
    """

    name: str
    split: str
    wheel: Wheel
    licence: str
    author: str
    sha256: str


# The two motorcycles are a stereo pair, that is one scene seen twice, and must stay in one split. What is under a
# microscope or inside an eye is only there to learn from: nobody would score a camera with it. hubble_deep_field.jpg is
# left out, a composite of filtered exposures in false colours, and so is what is grey: it cannot show a colour fault.
_STEREO = "no licence stated (scikit-image takes CC0 and public domain only)"
PHOTOS = (
    WheelPhoto(
        "rocket.jpg", "train", SCIKIT_IMAGE, "public domain", "SpaceX",
        "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    ),
    WheelPhoto(
        "motorcycle_left.png", "train", SCIKIT_IMAGE, _STEREO, "Scharstein et al., GCPR 2014",
        "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    ),
    WheelPhoto(
        "grace_hopper.jpg", "train", MATPLOTLIB, "public domain", "United States Navy",
        "a8ca6d734765703b09728ab47fe59f473d93ae3967fc24c7c0288c3c7adb7130",
    ),
    WheelPhoto(
        "ihc.png", "train", SCIKIT_IMAGE, "no known copyright restrictions", "CMMI",
        "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
    ),
    WheelPhoto(
        "retina.jpg", "train", SCIKIT_IMAGE, "CC0", "Mikael Häggström",
        "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
    ),
    WheelPhoto(
        "motorcycle_right.png", "train", SCIKIT_IMAGE, _STEREO, "Scharstein et al., GCPR 2014",
        "5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797",
    ),
    WheelPhoto(
        "astronaut.png", "validation", SCIKIT_IMAGE, "public domain", "NASA",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    ),
    WheelPhoto(
        "flower.jpg", "validation", SCIKIT_LEARN, "CC BY 2.0", "vultilion, flickr.com/photos/vultilion/6056698931",
        "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    ),
    WheelPhoto(
        "chelsea.png", "test", SCIKIT_IMAGE, "CC0", "Stefan van der Walt",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    ),
    WheelPhoto(
        "coffee.png", "test", SCIKIT_IMAGE, "CC0", "Rachel Michetti, Pikolo Espresso Bar",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    ),
    WheelPhoto(
        "china.jpg", "test", SCIKIT_LEARN, "CC BY 2.0", "danielbuechele, flickr.com/photos/danielbuechele/6061409035",
        "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    ),
)  # fmt: skip


class WheelPhotos(PhotoSource):
    """The photos of some packages, with a fixed split by photograph.

    Args:
        name: As in a data spec.
        wheels: The packages.
    """

    def __init__(self, name: str, wheels: Sequence[Wheel]) -> None:
        self.name, self.wheels = name, tuple(wheels)
        self.members = tuple(photo for photo in PHOTOS if photo.wheel in self.wheels)
        by = " and ".join(filter(None, [", ".join(w.name for w in wheels[:-1]), wheels[-1].name]))
        self.description = f"{len(self.members)} colour photos shipped with {by}, unprocessed to dark RAW-RGB"
        kinds = sorted({photo.licence.partition(" (")[0] for photo in self.members}, key=str.lower)
        self.licence = f"{', '.join(kinds)}; each photo's under credits"
        self.reference = "; ".join(wheel.reference for wheel in self.wheels)

    def version(self) -> str:
        """Return the versions of the packages that are installed."""
        return ", ".join(f"{wheel.name} {_version(wheel)}" for wheel in self.wheels)

    def check(self, argument: str) -> None:
        """Raise ``UserError`` if a package is missing, lacks one of its photos, or carries another under its name.

        To go on with the rest would change what the split means.
        """
        for photo in self.members:
            fault = self._fault(photo)
            if fault:
                wheel = photo.wheel
                raise UserError(f"{fault}; install {wheel.name} {wheel.versions}, or use data=folder:PATH")

    def _fault(self, photo: WheelPhoto) -> str:
        wheel, path = photo.wheel, _path(photo)
        if path is None:
            return f"data={self.name} needs {wheel.name}, which is not installed, for its photo {photo.name}"
        if _digest(path) == photo.sha256:
            return ""
        state = "carries another" if path.exists() else "does not carry the"
        return f"the installed {wheel.name} {_version(wheel)} {state} photo {photo.name} that data={self.name} needs"

    def fingerprint(self, argument: str) -> str:
        """Return a constant: the photos are checked against their digests, so that nothing can change."""
        return "fixed"

    def photos(self, argument: str, split: str) -> list[Photo]:
        """Return the photos of ``split``; see ``check`` for what it raises."""
        self.check(argument)
        paths = {photo: _path(photo) for photo in self.members if photo.split == split}
        return [Photo(path, photo.name) for photo, path in paths.items() if path is not None]

    def credits(self, photos: Collection[str]) -> dict[str, str]:
        """Return licence and author of each photo, which CC BY asks to be told wherever a photo is shown."""
        return {p.name: f"{p.licence}, {p.author} (in {p.wheel.name})" for p in self.members if p.name in photos}


def _version(wheel: Wheel) -> str:
    try:
        return metadata.version(wheel.name)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _path(photo: WheelPhoto) -> Path | None:
    """Return where a photo should lie; ``None`` if its package is not installed."""
    root = _root(photo.wheel.package)
    return None if root is None else root / photo.wheel.folder / photo.name


def _root(package: str) -> Path | None:
    """Return the folder of a package, which is found without being imported."""
    spec = util.find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin is not None else None


@lru_cache(maxsize=64)
def _digest(path: Path) -> str | None:
    # Five megabytes in all, hashed once in a process.
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
