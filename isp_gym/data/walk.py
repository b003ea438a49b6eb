"""What lies in a folder, and whether it has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator

from isp_gym.errors import UserError


def walk(root: str) -> Iterator[os.DirEntry[str]]:
    """All files in a folder and below it, sorted within each folder; hidden files and folders are left out.

    Raises:
        UserError: A folder cannot be read.
    """
    yield from _walk(root, set())


def _walk(folder: str, seen: set[str]) -> Iterator[os.DirEntry[str]]:
    # Data sets are often folders of links, so links are followed, but a link to a folder above must not go round.
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    try:
        with os.scandir(folder) as entries:
            listed = sorted((entry for entry in entries if entry.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        raise UserError(f"cannot read folder {folder}: {error.strerror}; make it readable or remove it") from None
    for entry in listed:
        if _is_folder(entry):
            yield from _walk(entry.path, seen)
        else:
            yield entry


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to where we may not look; whoever needs the file will say so
        return False


def snapshot(root: str) -> str:
    """A digest of the paths, sizes and times of all files in and below a folder: it changes when any of them does."""
    digest = hashlib.sha256(repr(root).encode())
    for entry in walk(root):
        try:
            status = entry.stat()
            times = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        except OSError:  # a broken link; whoever needs the file will say so
            times = (-1, 0, 0)
        digest.update(repr((entry.path, times)).encode())
    return digest.hexdigest()
