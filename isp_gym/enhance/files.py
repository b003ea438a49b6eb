"""Which files are enhanced, and where the results go: found and checked before any work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from isp_gym.data.readers.camera_raw import EXTENSIONS as RAW_EXTENSIONS
from isp_gym.data.sets.folder import EXTENSIONS as PHOTO_EXTENSIONS
from isp_gym.data.sets.folder_index import walk
from isp_gym.errors import UserError


@dataclass(frozen=True)
class Job:
    """One file to enhance.

    Attributes:
        source: The photo or RAW file.
        image: The PNG to write.
    """

    source: Path
    image: Path

    @property
    def record(self) -> Path:
        """The JSON file to write beside the image."""
        return self.image.with_suffix(".json")


def plan_jobs(inputs: Sequence[Path], out: Path, overwrite: bool = False) -> list[Job]:
    """Find the files to enhance; nothing is written.

    Args:
        inputs: Files of any name, and folders, which are searched for files that are called like a photo or RAW file;
            hidden ones are left out, and so is what lies in ``out`` where that is a folder inside.
        out: Folder of the results. A file keeps its name and, of a folder, its place below it, and ends in ``.png``.
        overwrite: Whether results of that name may be replaced; inputs never are.

    Raises:
        UserError: An input is missing, a folder holds no photo, two inputs would become one file, or a result would
            replace an input or a file that is there.
    """
    if out.exists() and not out.is_dir():
        raise UserError(f"'{out}' is no folder; give one with --out")
    jobs = [job for path in inputs for job in _jobs_of(path, out)]
    _check_unique(jobs)
    _check_outputs(jobs, overwrite)
    return jobs


def _jobs_of(path: Path, out: Path) -> Iterator[Job]:
    if not path.exists():
        raise UserError(f"there is no file or folder '{path}'")
    if not path.is_dir():
        yield Job(path, out / f"{path.stem}.png")
        return
    found = [Path(entry.path) for entry in walk(str(path)) if _is_photo(entry.name)]
    if _lies_inside(out, path):
        found = [file for file in found if not _lies_inside(file, out)]
    if not found:
        raise UserError(f"the folder '{path}' holds no photo ({', '.join(PHOTO_EXTENSIONS)}) and no camera RAW file")
    for file in found:
        yield Job(file, out / file.relative_to(path).with_suffix(".png"))


def _is_photo(name: str) -> bool:
    return name.lower().endswith((*PHOTO_EXTENSIONS, *RAW_EXTENSIONS))


def _lies_inside(path: Path, folder: Path) -> bool:
    """Whether a path lies below a folder, and is not the folder itself."""
    return Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parents


def _check_unique(jobs: Iterable[Job]) -> None:
    sources: dict[Path, Path] = {}
    for job in jobs:
        other = sources.setdefault(job.image, job.source)
        if other is not job.source:
            raise UserError(
                f"'{other}' and '{job.source}' would both become '{job.image}'; enhance them one at a time, "
                "each with an --out of its own"
            )


def _check_outputs(jobs: Iterable[Job], overwrite: bool) -> None:
    # The same file may go by several names, as links do.
    inputs = {_identity(there): job.source for job in jobs if (there := _existing(job.source))}
    for job in jobs:
        for path in (job.image, job.record):
            there = _existing(path)
            if there is None:
                continue
            if _identity(there) in inputs:
                raise UserError(f"'{path}' is the input '{inputs[_identity(there)]}'; give another folder with --out")
            if not overwrite:
                raise UserError(f"'{path}' is there already; replace it with --overwrite, or give another --out")


def _existing(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:  # also of a broken link
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file that is there in full or not at all; its folder is made.

    Args:
        path: The file; one that is there is replaced, and a link by that name is, not what it leads to.
        write: Writes to the path that it is given.

    Raises:
        UserError: There may be no such file: its folder is read-only, say, or a file.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except (PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise UserError(f"cannot write '{path}': {error.strerror}; give another folder with --out") from error
