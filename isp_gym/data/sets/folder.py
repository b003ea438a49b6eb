"""A folder of photographs, split into train, validation and test as :mod:`isp_gym.data.sets.folder_index` says."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial

from isp_gym.data.cache import cached, identity
from isp_gym.data.readers.photos import read_photo
from isp_gym.data.scene import Scene
from isp_gym.data.sets.base_photos import Crops, Photo, PhotoSource, content_key
from isp_gym.data.sets.folder_index import list_files, split_files
from isp_gym.data.store import LazyStore
from isp_gym.errors import UserError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff")
_MAX_SCENES = 10_000_000  # scenes; each needs a name in memory
_CHUNK = 16


class FolderPhotos(PhotoSource):
    """Photographs of your own: JPEG, PNG and TIFF, 8 and 16 bit, any size."""

    name = "folder"
    argument = "PATH"
    licence = "that of your photos"
    reference = "your own"
    description = "a folder of JPEG, PNG or TIFF photos, 8 or 16 bit, unprocessed to dark RAW-RGB"

    def version(self) -> str:
        """Return that what the folder holds is its version."""
        return "as on disk"

    def check(self, argument: str) -> None:
        """Raise ``UserError`` if the folder is missing or has too few photos; reads the first 64 KB of each at most."""
        split_files(list_files(argument, EXTENSIONS))

    def fingerprint(self, argument: str) -> str:
        """Return digest of the paths, sizes and times of the photos."""
        return hashlib.sha256(repr(list_files(argument, EXTENSIONS)).encode()).hexdigest()

    def photos(self, argument: str, split: str) -> Sequence[Photo]:
        """Return the photos of ``split``, in an order that names and places have no part in."""
        return split_files(list_files(argument, EXTENSIONS))[split]

    def store(self, crops: Crops) -> LazyStore:
        """Decode photos when their scenes are needed, for a folder may hold very many."""
        if crops.count > _MAX_SCENES:
            raise UserError(f"{crops.count} scenes do not fit in memory; ask for fewer")
        return LazyStore(partial(_scene, crops), crops.count)


def _scene(crops: Crops, k: int) -> Scene:
    """Make scene k, or take it from the cache if it is there."""
    photo, step = crops.photo(k), len(crops.photos)
    files = identity(photo.path) if photo.path.exists() else None  # a missing one is told when it is read

    def keep(other: int, make: Callable[[], Scene]) -> Scene:
        key = ("folder", files, crops.occurrence(other), crops.image_size, crops.seed)
        return cached(key, crops.scene_id(other), make, crops.options)

    def make() -> Scene:
        pixels = read_photo(photo.path)
        content = content_key(pixels)
        # To decode a photo takes longer than to cut it, so its next scenes are cut as well, for the cache.
        for other in range(k + step, min(crops.count, k + _CHUNK * step), step):
            keep(other, partial(crops.cut, other, pixels, content))
        return crops.cut(k, pixels, content)

    return keep(k, make)
