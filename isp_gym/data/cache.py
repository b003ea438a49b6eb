"""Decoded scenes on disk, so that a file is decoded once and not once a run.

The cache lies in ``$ISP_GYM_CACHE``, or else in ``isp-gym`` under ``$XDG_CACHE_HOME`` or ``~/.cache``; for a user
without a home, as in a container, in a private folder for temporary files. Entries are written to a file of their own
and moved into place, so that runs side by side never see half of one; one that cannot be read, or whose checksum is
wrong, is made again. Nothing in it is needed: delete it whenever you like.

It is kept below ``$ISP_GYM_CACHE_SIZE`` bytes (20 GB unless told): what was not used for the longest time goes first.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import time
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from isp_gym.data.scene import Scene
from isp_gym.errors import UserError

# Bumped when a scene of the same files comes out differently, so that the cache is not believed any more.
_VERSION = 3
SIZE_VARIABLE = "ISP_GYM_CACHE_SIZE"
_SIZE = 20_000_000_000
_SLACK = 20  # the cache is looked through each time this part of its size was written
_LEFT_OVER = 24 * 60 * 60  # seconds after which half an entry is one that its process will not finish
_IMAGES = ("image", "target", "camera")


# Bytes that this process wrote since it last looked through each cache; at its first write it looks through it, too.
_written: dict[Path, float] = {}


def cache_folder() -> Path:
    """Return the folder where decoded scenes are kept.

    Raises:
        UserError: There is no folder that is this user's own.
    """
    own = os.environ.get("ISP_GYM_CACHE")
    try:
        if own:
            return Path(own).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "isp-gym"
    except (RuntimeError, KeyError):  # a user that the system does not know, as with docker run --user
        return _private_folder()


def _private_folder() -> Path:
    """Return a folder for temporary files that nobody else can read or write: what is read from it is believed."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    path = Path(tempfile.gettempdir()) / f"isp-gym-{user}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode) and (status.st_uid, stat.S_IMODE(status.st_mode)) == (user, 0o700):
            return path
    except OSError:
        pass
    raise UserError(f"{path} cannot be this user's cache, for others have access to it; set ISP_GYM_CACHE to a folder")


def cache_size() -> int:
    """Return the most bytes that the cache may hold.

    Raises:
        UserError: ``$ISP_GYM_CACHE_SIZE`` is no number of bytes.
    """
    given = os.environ.get(SIZE_VARIABLE) or str(_SIZE)
    if not given.isdecimal():
        raise UserError(f"{SIZE_VARIABLE} must be a number of bytes such as {_SIZE}, not '{given}'")
    return int(given)


def identity(path: Path) -> tuple[str, int, int, int]:
    """Return what changes when a file does: its path, size and times of modification and of change."""
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns


def cached(key: object, scene_id: str, make: Callable[[], Scene], options: object = None) -> Scene:
    """Read the images of that key from the cache, or make and keep them there; objects are not kept.

    Args:
        key: Everything that the images depend on; its ``repr`` counts.
        scene_id: What the scene is called.
        make: Makes the scene.
        options: Data options that they depend on, too; ``None`` for the defaults.
    """
    digest = hashlib.sha256(repr((_VERSION, key) if options is None else (_VERSION, key, options)).encode()).hexdigest()
    folder, size = cache_folder() / "scenes", cache_size()
    path = folder / digest[:2] / f"{digest}.safetensors"
    try:
        images = _read(path)
        return Scene(images["image"], images.get("target"), scene_id, images.get("camera"))
    except Exception:  # missing, or damaged in any way at all: it is made again
        pass
    scene = make()
    images = {name: image for name in _IMAGES if (image := getattr(scene, name)) is not None}
    _write(path, images)
    _written[folder] = _written.get(folder, size) + sum(image.nbytes for image in images.values())
    if _written[folder] * _SLACK >= size:
        _written[folder] = 0
        _shrink(folder, size)
    return scene


def _read(path: Path) -> dict[str, Tensor]:
    with safe_open(str(path), "pt") as file:
        images = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - it is no mapping
        if file.metadata()["crc32"] != _crc32(images):
            raise ValueError("wrong checksum")
    with suppress(OSError):  # of a cache that may only be read, or one that was deleted just now
        os.utime(path)  # used now
    return images


def _write(path: Path, images: Mapping[str, Tensor]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            file.write(save(dict(images), {"crc32": _crc32(images)}))
        os.replace(file.name, path)
    except OSError:
        pass  # a full or read-only disk costs time, not results


def _shrink(folder: Path, size: int) -> None:
    """Remove entries until the cache fits, least recently used first, and halves that were left behind."""
    entries = []
    for path in folder.glob("*/*"):
        with suppress(OSError):  # another process may be at it too
            status = path.stat()
            if path.suffix == ".safetensors":
                entries.append((status.st_mtime_ns, status.st_size, path))
            elif time.time() - status.st_mtime > _LEFT_OVER:
                path.unlink()
    total = sum(bytes_ for _, bytes_, _ in entries)
    for _, bytes_, path in sorted(entries):
        if total <= size:
            return
        total -= bytes_
        with suppress(OSError):
            path.unlink()


def _crc32(images: Mapping[str, Tensor]) -> str:
    crc = 0
    for name in _IMAGES:
        if name in images:
            crc = zlib.crc32(images[name].numpy().data, crc)
    return f"{crc:08x}"
