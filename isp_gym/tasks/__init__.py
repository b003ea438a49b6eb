"""Downstream tasks: per-image losses and evaluation metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isp_gym import plugins
from isp_gym.budget import Budget, in_a_run
from isp_gym.errors import UserError
from isp_gym.tasks.base import MeanMetric, MeteredTask, Metric, Task
from isp_gym.tasks.detection import Detection
from isp_gym.tasks.enhancement import Enhancement
from isp_gym.tasks.segmentation import Segmentation

TASKS: dict[str, type[Task]] = {task.name: task for task in (Enhancement, Detection, Segmentation)}


def get_task(spec: str, options: Mapping[str, Any] | None = None, device: str = "cpu") -> Task:
    """Make a task; its network, if it has one, is loaded when it is first needed.

    Args:
        spec: Name of the task: one of ``TASKS``, an entry point of the group ``isp_gym.tasks``, or
            ``package.module:Class``; or ``name:NETWORK`` for one with a network, e.g. ``detection:yolov3u.pt``.
        options: Keyword arguments of the task, e.g. ``{"loss": "l1"}`` for enhancement.
        device: Torch device of its network.

    Raises:
        UserError: There is no such task, or it does not take these options.

    Example:
        >>> from isp_gym.data import load_scenes
        >>> scenes = load_scenes("photos", count=2, image_size=32).batch([0, 1])
        >>> get_task("enhancement", {"loss": "ssim"}).loss(scenes.images, scenes).shape
        torch.Size([2])
        >>> metric = get_task("enhancement").metric()
        >>> per_image = metric.update(scenes.targets, scenes)  # the best there is: PSNR is cut off at 100 dB
        >>> metric.compute()
        {'psnr': 100.0, 'ssim': 1.0}
    """
    cls, name, network = _find(spec)
    arguments = dict(options or {})
    if cls.takes_network:
        arguments = {"network": network, "device": device, **arguments}
    elif network:
        raise UserError(f"task '{name}' has no network; write task={name}, not task={spec}")
    try:
        task = cls(**arguments)
    except TypeError as error:
        raise UserError(f"task '{name}' does not take its options: {error}") from error
    # In a run every score counts, also of a task that an agent makes for itself.
    return MeteredTask(task, Budget()) if in_a_run() else task


def default_data(spec: str) -> str:
    """Name the data that suits a task where none is given; for a task that does not exist, which others report, any."""
    try:
        return _find(spec)[0].default_data
    except UserError:
        return Task.default_data


def _find(spec: str) -> tuple[type[Task], str, str]:
    """Return class, name and network of a task."""
    name, network = plugins.split("tasks", str(spec), TASKS)
    cls = plugins.find("tasks", name, TASKS)
    if not (isinstance(cls, type) and issubclass(cls, Task)):
        raise UserError(f"task '{name}' is no subclass of isp_gym.tasks.Task")
    return cls, name, network


__all__ = [
    "TASKS",
    "Detection",
    "Enhancement",
    "MeanMetric",
    "MeteredTask",
    "Metric",
    "Segmentation",
    "Task",
    "default_data",
    "get_task",
]
