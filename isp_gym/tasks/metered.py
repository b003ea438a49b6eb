"""A task whose every score is counted."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import Tensor

from isp_gym.budget import Budget
from isp_gym.data import SceneBatch
from isp_gym.tasks.base import Metric, Task


class MeteredTask(Task):
    """A task like the one that it stands for, but scores are spent before they are given.

    This is what environments and agents hold; the benchmark scores with :attr:`unmetered`. What is no score (its
    network, its names, its drawings) is that of the task.

    Args:
        task: What scores.
        budget: Where the scores are counted, besides the run that this process is in.

    Attributes:
        budget: As given; replace it to count in another one.
    """

    def __init__(self, task: Task, budget: Budget) -> None:
        self._task = task.unmetered
        self.budget = budget
        for declared in ("name", "score", "takes_network", "default_data", "has_maps"):
            setattr(self, declared, getattr(task, declared))

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is not found here. Private names are not passed on, or a copy being made would look for
        # its own `_task` for ever.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._task, name)

    @property
    def unmetered(self) -> Task:
        """The task itself, whose scores are not counted."""
        return self._task

    def loss(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """See :meth:`Task.loss`.

        Raises:
            BudgetExhausted: The budget does not cover the batch; nothing is scored.
        """
        self.budget.spend(len(images), gradient=images.requires_grad)
        return self._task.loss(images, scenes)

    def loss_map(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """See :meth:`Task.loss_map`.

        Raises:
            BudgetExhausted: The budget does not cover the batch; nothing is scored.
        """
        if self.has_maps:
            self.budget.spend(len(images), gradient=images.requires_grad)
        return self._task.loss_map(images, scenes)

    def measures(self, scenes: SceneBatch) -> bool:
        """See :meth:`Task.measures`."""
        return self._task.measures(scenes)

    def score_in(self, metrics: Collection[str]) -> str:
        """See :meth:`Task.score_in`."""
        return self._task.score_in(metrics)

    def metric(self) -> Metric:
        """A fresh metric, which spends an evaluation for each image that it is shown."""
        return _SpendingMetric(self._task.metric(), self)

    def draw_found(self, images: Tensor) -> Tensor:
        """See :meth:`Task.draw_found`."""
        return self._task.draw_found(images)

    def draw_truth(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """See :meth:`Task.draw_truth`."""
        return self._task.draw_truth(images, scenes)


class _SpendingMetric(Metric):
    def __init__(self, metric: Metric, task: MeteredTask) -> None:
        self._metric, self._task = metric, task

    def update(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        self._task.budget.spend(len(images))
        return self._metric.update(images, scenes)

    def compute(self) -> dict[str, float]:
        return self._metric.compute()

    def left_out(self) -> int:
        return self._metric.left_out()
