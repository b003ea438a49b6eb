"""A folder of photographs, split into train, validation and test as :mod:`isp_gym.data.listing` says."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from isp_gym.data.listing import list_files, split_files
from isp_gym.data.photo_source import Photo, PhotoSource

EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff")


class FolderPhotos(PhotoSource):
    """Photographs of your own: JPEG, PNG and TIFF, 8 and 16 bit, any size."""

    name = "folder"
    argument = "PATH"
    licence = "that of your photos"
    reference = "your own"
    description = "a folder of JPEG, PNG or TIFF photos, 8 or 16 bit, unprocessed to dark RAW-RGB"

    def version(self) -> str:
        """What the folder holds is its version."""
        return "as on disk"

    def check(self, argument: str) -> None:
        """Raise ``UserError`` if the folder is missing or has too few photos; reads the first 64 KB of each at most."""
        split_files(list_files(argument, EXTENSIONS))

    def fingerprint(self, argument: str) -> str:
        """Digest of the paths, sizes and times of the photos."""
        return hashlib.sha256(repr(list_files(argument, EXTENSIONS)).encode()).hexdigest()

    def photos(self, argument: str, split: str) -> Sequence[Photo]:
        """The photos of ``split``, in an order that names and places have no part in."""
        return split_files(list_files(argument, EXTENSIONS))[split]
