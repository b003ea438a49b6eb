"""Files of a folder, split into train, validation and test.

If the folder has subfolders ``train``, ``validation`` (or ``val``) and ``test``, they are the splits, and what lies
beside them is ignored. Else all photos in it and below it are split by a digest of their content, about 60/20/20: where
a photo lies or what it is called does not matter, adding photos does not move the others (unless a split would be
empty), and copies of one file count as one photo.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from isp_gym.data.read_log import SPLITS
from isp_gym.data.sets.base_photos import Photo
from isp_gym.errors import UserError

_SUBFOLDERS = {"train": "train", "validation": "validation", "val": "validation", "test": "test"}
_UPPER_BOUNDS = {"train": 0.6, "validation": 0.8, "test": 1.0}
_KEY_BYTES = 64 * 1024


@dataclass(frozen=True)
class FolderIndex:
    """What a folder holds: cheap to make, and different whenever a photo is.

    Attributes:
        root: The folder.
        subfolders: Split and folder, if the folder has a subfolder for each split.
        files: Path, size and times of modification and of change of each photo, sorted.
        extensions: Of the files that count.
    """

    root: Path
    subfolders: tuple[tuple[str, Path], ...]
    files: tuple[tuple[str, int, int, int], ...]
    extensions: tuple[str, ...]


def _root(argument: str) -> Path:
    root = Path(argument).expanduser().absolute()
    if not root.exists():
        raise UserError(f"the photo folder {argument} does not exist; give one with data=folder:PATH")
    if not root.is_dir():
        raise UserError(f"{argument} is not a folder; put the photos into one and give that with data=folder:PATH")
    return root


def list_files(argument: str, extensions: tuple[str, ...]) -> FolderIndex:
    """Return all photos of the folder, or of its split folders only; hidden files and folders are left out.

    Args:
        argument: Path of the folder.
        extensions: Endings of the files that count, in lower case.

    Raises:
        UserError: The folder is missing or cannot be read.
    """
    root = _root(argument)
    subfolders = _split_subfolders(root)
    found = []
    for entry in (entry for folder in subfolders.values() or [root] for entry in walk(str(folder))):
        if not entry.name.lower().endswith(extensions):
            continue
        try:
            status = entry.stat()
        except OSError as error:
            raise UserError(f"cannot use photo {entry.path}: {error.strerror}; replace or remove it") from None
        if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for ever
            raise UserError(f"cannot use photo {entry.path}: it is no ordinary file; remove it")
        found.append((entry.path, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
    return FolderIndex(root, tuple(subfolders.items()), tuple(sorted(found)), extensions)


@lru_cache(maxsize=8)
def split_files(listing: FolderIndex) -> dict[str, tuple[Photo, ...]]:
    """Return the photos of each split, sorted by content key."""
    if not listing.files:
        raise UserError(f"no photos in {listing.root}; put at least 3 there ({', '.join(listing.extensions)})")
    subfolders = dict(listing.subfolders)
    keys = _content_keys([Path(path) for path, *_ in listing.files])
    splits = _by_subfolder(subfolders, keys, listing.extensions) if subfolders else _by_content(listing.root, keys)
    root = {split: subfolders.get(split, listing.root) for split in SPLITS}
    return {s: tuple(Photo(path, _name(path, root[s])) for _, path in sorted(found)) for s, found in splits.items()}


def _by_content(root: Path, keys: dict[Path, str]) -> dict[str, list[tuple[str, Path]]]:
    """Return content key and path of the photos of each split."""
    unique = {key: path for path, key in reversed(keys.items())}  # of equal files the first by name
    if len(unique) < len(SPLITS):
        raise UserError(
            f"{root} holds {len(unique)} different photo{'s' * (len(unique) != 1)}; at least 3 are needed, "
            "one each to train, validate and test"
        )
    splits: dict[str, list[tuple[str, Path]]] = {split: [] for split in SPLITS}
    for key, path in sorted(unique.items()):
        draw = int(key[:16], 16) / 16**16
        split = next(split for split, bound in _UPPER_BOUNDS.items() if draw < bound)
        splits[split].append((key, path))
    for split in SPLITS:
        if not splits[split]:
            splits[split].append(max(splits.values(), key=len).pop())
    return splits


def _by_subfolder(
    subfolders: dict[str, Path], keys: dict[Path, str], extensions: tuple[str, ...]
) -> dict[str, list[tuple[str, Path]]]:
    splits: dict[str, list[tuple[str, Path]]] = {}
    owners: dict[str, tuple[str, Path]] = {}
    for split in SPLITS:
        members = {path: key for path, key in keys.items() if subfolders[split] in path.parents}
        if not members:
            raise UserError(f"no photos in {subfolders[split]}; put at least one there ({', '.join(extensions)})")
        for path, key in members.items():
            owner, other = owners.setdefault(key, (split, path))
            if owner != split:
                raise UserError(f"{other} and {path} are the same photo in two splits; remove one of them")
        splits[split] = list({key: path for path, key in reversed(members.items())}.items())
    return splits


def _split_subfolders(root: Path) -> dict[str, Path]:
    """Return the subfolder of each split, or nothing if there is none of them."""
    found: dict[str, Path] = {}
    try:
        paths = sorted(root.iterdir())
    except OSError as error:
        raise UserError(f"cannot read folder {root}: {error.strerror}; make it readable") from None
    for path in paths:
        split = _SUBFOLDERS.get(path.name.lower())
        if split is None or not path.is_dir():
            continue
        if split in found:
            raise UserError(f"{found[split]} and {path} are both {split} folders; keep one of them")
        found[split] = path
    missing = [split for split in SPLITS if split not in found]
    if found and missing:
        raise UserError(
            f"{root} has the subfolder {next(iter(found.values())).name} but no {' and no '.join(missing)}; "
            "make train, validation and test, or none of them for a split by content"
        )
    return found


def _content_keys(paths: Sequence[Path]) -> dict[Path, str]:
    """Return a key for each file, in the given order: equal where and only where the files are equal, to the byte.

    Size and first 64 KB tell almost all photos apart, so that ten thousand start in seconds. The few that they do not
    (copies, but also uncompressed photos under one white sky) are read whole.
    """
    alike: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        alike[_digest(path, _KEY_BYTES)].append(path)
    keys = {}
    for key, group in alike.items():
        whole = {path: _digest(path) for path in group} if len(group) > 1 else {}
        several = len(set(whole.values())) > 1
        keys.update({path: f"{key}/{whole[path]}" if several else key for path in group})
    return {path: keys[path] for path in paths}


def _digest(path: Path, length: int = -1) -> str:
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            if length >= 0:
                digest.update(f"{os.fstat(file.fileno()).st_size}\0".encode() + file.read(length))
            else:
                while block := file.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise UserError(f"cannot use photo {path}: {error.strerror}; replace or remove it") from None
    return digest.hexdigest()


def _name(path: Path, root: Path) -> str:
    # A file name may hold bytes that are no text; a scene id must be printable anywhere.
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")


def walk(root: str) -> Iterator[os.DirEntry[str]]:
    """Return all files in a folder and below it, sorted within each folder; hidden files and folders are left out.

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
    """Digest the paths, sizes and times of all files in and below a folder: it changes when any of them does."""
    digest = hashlib.sha256(repr(root).encode())
    for entry in walk(root):
        try:
            status = entry.stat()
            times = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        except OSError:  # a broken link; whoever needs the file will say so
            times = (-1, 0, 0)
        digest.update(repr((entry.path, times)).encode())
    return digest.hexdigest()
