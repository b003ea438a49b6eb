"""A folder of camera RAW files, split as :mod:`isp_gym.data.sets.folder_index` says."""

from __future__ import annotations

import hashlib

from torch import Tensor

from isp_gym.data.readers.camera_raw import EXTENSIONS, check_rawpy, read_raw
from isp_gym.data.sets.base_files import FileSource, Item, central_square, to_tensor
from isp_gym.data.sets.folder_index import list_files, split_files


class RawFiles(FileSource):
    """RAW files of your own camera: the input is what the sensor saw, and there is no target."""

    name = "raw"
    argument = "PATH"
    licence = "that of your photos"
    reference = "your own"
    description = "a folder of camera RAW files (DNG, CR2, NEF, ARW, ...), linear and without white balance; no targets"
    layout = f"expected files that end in {', '.join(EXTENSIONS)}"

    def version(self) -> str:
        """Return that what the folder holds is its version."""
        return "as on disk"

    def check(self, argument: str) -> None:
        """Raise ``UserError`` if rawpy or the folder is missing, or the folder has too few RAW files."""
        check_rawpy()
        super().check(argument)

    def fingerprint(self, argument: str) -> str:
        """Return digest of the paths, sizes and times of the files."""
        return hashlib.sha256(repr(list_files(argument, EXTENSIONS)).encode()).hexdigest()

    def splits(self, argument: str) -> dict[str, list[Item]]:
        """Return the RAW files of each split."""
        photos = split_files(list_files(argument, EXTENSIONS))
        return {split: [Item(photo.name, photo.path) for photo in photos[split]] for split in photos}

    def read(self, item: Item, image_size: int, seed: int, options: None) -> tuple[Tensor, None, None]:
        """Return the central square, linear camera RGB."""
        return to_tensor(central_square(read_raw(item.input), image_size)), None, None
