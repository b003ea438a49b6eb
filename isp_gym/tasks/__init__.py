"""Downstream tasks: per-image losses and evaluation metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isp_gym.errors import UserError, unknown
from isp_gym.tasks.base import Meter, Task
from isp_gym.tasks.detection import Detection
from isp_gym.tasks.enhancement import Enhancement
from isp_gym.tasks.metered import MeteredTask
from isp_gym.tasks.segmentation import Segmentation

TASKS: dict[str, type[Task]] = {task.name: task for task in (Enhancement, Detection, Segmentation)}


def get_task(spec: str, options: Mapping[str, Any] | None = None, device: str = "cpu") -> Task:
    """Make a task; its network, if it has one, is loaded when it is first needed.

    Args:
        spec: Name of the task, or ``name:NETWORK`` for one with a network, e.g. ``detection:yolov3u.pt``.
        options: Keyword arguments of the task, e.g. ``{"loss": "l1"}`` for enhancement.
        device: Torch device of its network.

    Raises:
        UserError: There is no such task, or it does not take these options.
    """
    name, _, network = str(spec).partition(":")
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    arguments = dict(options or {})
    if TASKS[name].takes_network:
        arguments = {"network": network, "device": device, **arguments}
    elif network:
        raise UserError(f"task '{name}' has no network; write task={name}, not task={spec}")
    try:
        return TASKS[name](**arguments)
    except TypeError as error:
        raise UserError(f"task '{name}' does not take its options: {error}") from error


def default_data(spec: str) -> str:
    """The data that suits a task where none is named; of a task that does not exist, which others report, some data."""
    return TASKS.get(str(spec).partition(":")[0], Task).default_data


__all__ = [
    "TASKS",
    "Detection",
    "Enhancement",
    "Meter",
    "MeteredTask",
    "Segmentation",
    "Task",
    "default_data",
    "get_task",
]
