"""Downstream tasks: per-image losses and evaluation metrics."""

from __future__ import annotations

from isp_gym.errors import unknown
from isp_gym.tasks.base import Task
from isp_gym.tasks.enhancement import Enhancement

TASKS: dict[str, type[Task]] = {task.name: task for task in (Enhancement,)}


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        UserError: There is no such task.
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]()


__all__ = ["TASKS", "Enhancement", "Task", "get_task"]
