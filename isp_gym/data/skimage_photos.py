"""The colour photographs inside scikit-image's wheel: real photos with no download and no account."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from skimage.data import data_dir

from isp_gym.data.photo_source import Photo, PhotoSource
from isp_gym.errors import UserError

# Photo and SHA-256 as in scikit-image's own registry, by split. The two motorcycles are a stereo pair, that is one
# scene seen twice, and must stay in one split. hubble_deep_field.jpg is left out: a composite of filtered exposures in
# false colours is no camera photograph.
PHOTOS: dict[str, dict[str, str]] = {
    "train": {
        "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
        "motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
        "ihc.png": "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
        "retina.jpg": "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
        "motorcycle_right.png": "5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797",
    },
    "validation": {"astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"},
    "test": {
        "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    },
}


class SkimagePhotos(PhotoSource):
    """Eight photographs with a fixed split: five to train on, one to validate, two to test."""

    name = "skimage"
    licence = "CC0 or no known copyright restrictions (each photo: see scikit-image's documentation)"
    reference = "scikit-image.org/docs/stable/api/skimage.data.html; motorcycle: Scharstein et al., GCPR 2014"
    description = "colour photos shipped with scikit-image, unprocessed to dark RAW-RGB; nothing is downloaded"

    def version(self) -> str:
        """The version of scikit-image that is installed."""
        return f"scikit-image {metadata.version('scikit-image')}"

    def check(self, argument: str) -> None:
        """Raise ``UserError`` if the installed scikit-image lacks one of the photos, or carries another under its name.

        To go on with the rest would change what the split means.
        """
        folder = Path(data_dir)
        for name, digest in (item for photos in PHOTOS.values() for item in photos.items()):
            if _digest(folder / name) != digest:
                state = "carries another" if (folder / name).exists() else "does not carry the"
                raise UserError(
                    f"the installed {self.version()} {state} photo {name} that data=skimage needs; "
                    "install scikit-image 0.22 to 0.26 again, or use data=folder:PATH"
                )

    def fingerprint(self, argument: str) -> str:
        """The photos are checked against their digests, so that nothing can change."""
        return "fixed"

    def photos(self, argument: str, split: str) -> list[Photo]:
        """The photos of ``split``; see ``check`` for what it raises."""
        self.check(argument)
        return [Photo(Path(data_dir) / name, name) for name in PHOTOS[split]]


@lru_cache(maxsize=64)
def _digest(path: Path) -> str | None:
    # Four megabytes in all, hashed once in a process.
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return None
