"""Decoded scenes on disk, so that a file is decoded once and not once a run.

The cache lies in ``$ISP_GYM_CACHE``, or else in ``isp-gym`` under ``$XDG_CACHE_HOME`` or ``~/.cache``. Entries are
written to a file of their own and moved into place, so that runs side by side never see half of one; one that cannot be
read, or whose checksum is wrong, is made again. Nothing in it is needed: delete it whenever you like.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from isp_gym.data.scene import Scene

# Bumped when a scene of the same files comes out differently, so that the cache is not believed any more.
_VERSION = 3
_IMAGES = ("image", "target", "camera")


def cache_folder() -> Path:
    """Where decoded scenes are kept."""
    own = os.environ.get("ISP_GYM_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "isp-gym"


def identity(path: Path) -> tuple[str, int, int, int]:
    """What changes when a file does: its path, size and times of modification and of change."""
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns, status.st_ctime_ns


def cached(key: object, scene_id: str, make: Callable[[], Scene]) -> Scene:
    """The images of that key, read from the cache or made and kept there; objects are not kept.

    Args:
        key: Everything that the images depend on; its ``repr`` counts.
        scene_id: What the scene is called.
        make: Makes the scene.
    """
    digest = hashlib.sha256(repr((_VERSION, key)).encode()).hexdigest()
    path = cache_folder() / "scenes" / digest[:2] / f"{digest}.safetensors"
    try:
        images = _read(path)
        return Scene(images["image"], images.get("target"), scene_id, images.get("camera"))
    except Exception:  # missing, or damaged in any way at all: it is made again
        pass
    scene = make()
    _write(path, {name: image for name in _IMAGES if (image := getattr(scene, name)) is not None})
    return scene


def _read(path: Path) -> dict[str, Tensor]:
    with safe_open(str(path), "pt") as file:
        images = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - it is no mapping
        if file.metadata()["crc32"] != _crc32(images):
            raise ValueError("wrong checksum")
    return images


def _write(path: Path, images: Mapping[str, Tensor]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            file.write(save(dict(images), {"crc32": _crc32(images)}))
        os.replace(file.name, path)
    except OSError:
        pass  # a full or read-only disk costs time, not results


def _crc32(images: Mapping[str, Tensor]) -> str:
    crc = 0
    for name in _IMAGES:
        if name in images:
            crc = zlib.crc32(images[name].numpy().data, crc)
    return f"{crc:08x}"
