"""A weighted sum of reward terms in the place of a task's loss."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.errors import UserError
from isp_gym.rewards.base import Frame
from isp_gym.rewards.registry import REWARDS, get_reward
from isp_gym.tasks import Metric, Task


class Objective(Task):
    """``L = - sum_k weight_k * score_k``, so that Eq. 3 pays for rising scores; evaluation has the task's metrics too.

    Args:
        task: The task whose metrics count in the end.
        weights: Weight of each reward term, by name as for :func:`isp_gym.rewards.get_reward`.

    Raises:
        UserError: A name is unknown, a weight is no finite number, or there is none.
    """

    has_maps = True

    def __init__(self, task: Task, weights: Mapping[str, float]) -> None:
        if not weights:
            raise UserError(f"an objective needs at least one reward with its weight (known: {', '.join(REWARDS)})")
        for name, weight in weights.items():
            if not _finite(weight):
                raise UserError(f"objective: the weight of '{name}' must be a finite number, not {weight!r}")
        self._task = task
        self.weights = dict(weights)
        self._terms = {name: get_reward(name) for name in weights}
        self._source: tuple[Tensor | None, int, Frame] = (None, 0, Frame(torch.zeros(0, 3, 1, 1)))
        self.name = task.name  # type: ignore[misc]
        self.score = task.score  # type: ignore[misc]

    def loss_map(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """See :meth:`isp_gym.tasks.Task.loss_map`: minus the weighted sum of the terms' maps."""
        frame, source = Frame(images), self._source_frame(scenes.images)
        total = torch.zeros_like(frame.images[:, 0])
        for name, weight in self.weights.items():
            total = total.sub(self._terms[name].map(frame, source, scenes), alpha=weight)
        return total

    def _source_frame(self, images: Tensor) -> Frame:
        """Return statistics of the inputs, kept for the next step of the same episodes."""
        seen, version, frame = self._source
        if seen is not images or version != images._version:
            frame = Frame(images)
            self._source = images, images._version, frame
        return frame

    def loss(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Return the mean of :meth:`loss_map`, (B,)."""
        return self.loss_map(images, scenes).mean(dim=(1, 2))

    def metric(self) -> Metric:
        """Return the task's metrics, where the scenes have what they need, and ``objective``: minus the loss."""
        return _ObjectiveMetric(self, self._task)

    def score_in(self, metrics: Collection[str]) -> str:
        """Return the task's score; ``objective`` where that cannot be measured, as on RAW files without targets."""
        return self.score if self.score in metrics else "objective"

    def draw_predictions(self, images: Tensor) -> Tensor:
        """See :meth:`isp_gym.tasks.Task.draw_predictions`."""
        return self._task.draw_predictions(images)

    def draw_ground_truth(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """See :meth:`isp_gym.tasks.Task.draw_ground_truth`."""
        return self._task.draw_ground_truth(images, scenes)


class _ObjectiveMetric(Metric):
    def __init__(self, objective: Objective, task: Task) -> None:
        self._objective, self._task, self._metric = objective, task, task.metric()
        self._values: list[Tensor] = []
        self._measured = False

    def update(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        with torch.no_grad():
            value = -self._objective.loss(images, scenes).double().cpu()
        self._values.append(value)
        self._measured = self._task.measures(scenes)
        return {**(self._metric.update(images, scenes) if self._measured else {}), "objective": value}

    def compute(self) -> dict[str, float]:
        own = self._metric.compute() if self._measured else {}
        return {**own, "objective": float(torch.cat(self._values).mean())}

    def left_out(self) -> int:
        return self._metric.left_out()


def _finite(weight: Any) -> bool:
    return isinstance(weight, (int, float)) and not isinstance(weight, bool) and math.isfinite(weight)
