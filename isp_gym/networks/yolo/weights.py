"""Loading ultralytics' checkpoints, without what the library also does: download, install, send, print."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from isp_gym import plugins
from isp_gym.errors import UserError

_READ_ON_IMPORT = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false"}


def load_model(weights: str) -> tuple[Any, int | None]:
    """Load a checkpoint, whose pickle may run code: load only what you trust (:func:`isp_gym.plugins.require_trust`).

    Args:
        weights: The ``.pt`` file.

    Returns:
        ultralytics' ``DetectionModel`` or ``SegmentationModel`` in eval mode and float32, with the ``args`` of its
        training (ultralytics' defaults where the file has none); and the image size of its training, if it has that.

    Raises:
        UserError: ultralytics is not installed, the file is missing or no such checkpoint, or it is not trusted here.
    """
    path = Path(weights)
    if not path.is_file():
        raise UserError(
            f"cannot use YOLO weights {path}: there is no such file, and none is downloaded; give a local .pt"
        )
    plugins.require_trust(weights, f"the pickled checkpoint '{weights}'")
    tasks = import_ultralytics()
    try:
        with TemporaryDirectory() as folder:
            # Under a name of its own, e.g. yolov3.pt, the library may look for another file, and download that.
            link = Path(folder, "weights.pt")
            link.symlink_to(path.resolve())
            model, checkpoint = tasks.load_checkpoint(link)
    except Exception as error:  # there is no end to what a file that is none makes of unpickling
        raise _no_checkpoint(path) from error
    if type(model) not in (tasks.DetectionModel, tasks.SegmentationModel):  # subclasses do something else
        raise _no_checkpoint(path)
    return model, checkpoint.get("train_args", {}).get("imgsz")


@functools.cache
def import_ultralytics() -> Any:
    """Import ultralytics, offline and quiet.

    Returns:
        ``ultralytics.nn.tasks``.

    Raises:
        UserError: It is not installed, or torchvision does not load.
    """
    with _process_as_it_was(), TemporaryDirectory() as folder:
        os.environ.update(_READ_ON_IMPORT)
        os.environ.setdefault("YOLO_CONFIG_DIR", folder)  # for the settings file that it writes
        try:
            import torchvision  # noqa: F401  # ultralytics uses its fast suppression only where it is imported already
            from ultralytics.nn import tasks
        except (ImportError, RuntimeError) as error:
            raise UserError(
                "YOLO networks need ultralytics, and a torchvision that fits the installed torch; install them with "
                f"pip install 'isp-gym[yolo]' ({error})"
            ) from error
    return tasks


@contextmanager
def _process_as_it_was() -> Iterator[None]:
    """Undo what importing ultralytics does to the environment variables, warnings, NumPy's printing and OpenCV."""
    environment, threads = dict(os.environ), cv2.getNumThreads()
    try:
        with warnings.catch_warnings(), np.printoptions():
            yield
    finally:
        cv2.setNumThreads(threads)
        os.environ.clear()
        os.environ.update(environment)


def _no_checkpoint(path: Path) -> UserError:
    return UserError(
        f"cannot use YOLO weights {path}: it is damaged, or no detection or segmentation model that ultralytics saved; "
        "give the .pt of a YOLOv3u, v5u, v8, 11 or the like (files of the old yolov3 and yolov5 repositories differ)"
    )
