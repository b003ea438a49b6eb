"""Decoded scenes on disk, so that a RAW file is decoded once and not once a run.

The cache lies in ``$ISP_GYM_CACHE``, or else in ``isp-gym`` under ``$XDG_CACHE_HOME`` or ``~/.cache``. Entries are
written to a file of their own and moved into place, so that runs side by side never see half of one; one that cannot be
read is made again. Nothing in it is needed: delete it whenever you like.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from isp_gym.data.scene import Scene

_OPTIONAL = ("target", "camera")


def cache_folder() -> Path:
    """Where decoded scenes are kept."""
    own = os.environ.get("ISP_GYM_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "isp-gym"


def identity(path: Path) -> tuple[str, int, int]:
    """What changes when a file does: its path, size and time of modification."""
    status = path.stat()
    return str(path), status.st_size, status.st_mtime_ns


def cached(key: object, make: Callable[[], Scene]) -> Scene:
    """The scene of that key, read from the cache or made and kept there. Scenes with objects are not kept.

    Args:
        key: Everything that the scene depends on; its ``repr`` counts.
        make: Makes the scene.
    """
    digest = hashlib.sha256(repr(key).encode()).hexdigest()
    path = cache_folder() / "scenes" / digest[:2] / f"{digest}.npz"
    try:
        with np.load(path, allow_pickle=False) as entry:
            images = {name: torch.from_numpy(entry[name]) for name in ("image", *_OPTIONAL) if name in entry}
            return Scene(images["image"], images.get("target"), str(entry["id"]), images.get("camera"))
    except Exception:  # missing, or damaged in any way at all: it is made again
        pass
    scene = make()
    _keep(path, scene)
    return scene


def _keep(path: Path, scene: Scene) -> None:
    images = {"image": scene.image, **{name: getattr(scene, name) for name in _OPTIONAL}}
    arrays = {name: image.numpy() for name, image in images.items() if image is not None}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".partial", delete=False) as file:
            np.savez(file, id=np.array(scene.id), **arrays)
        os.replace(file.name, path)
    except OSError:
        pass  # a full or read-only disk costs time, not results
