"""The interface of a downstream task, and of one whose every score is counted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar

import torch
from torch import Tensor

from isp_gym.budget import Budget
from isp_gym.data import SceneBatch
from isp_gym.errors import UserError


class Task(ABC):
    """A frozen downstream task that says how good a batch of processed images is.

    It scores each image by itself: image i's numbers do not depend on the rest of the batch. Images may leave [0, 1]; a
    task clips them, for the loss exactly as for the metrics, so that training and testing see the same image. Making a
    task is cheap; what is heavy (a network) is loaded when it is first needed.
    """

    name: ClassVar[str]
    #: The metric that learning curves show and agents are ranked by; higher is better.
    score: ClassVar[str]
    #: Whether it scores with a network that the user may choose, as in ``detection:NETWORK``.
    takes_network: ClassVar[bool] = False
    #: The data that it is shown where none is named; nothing is downloaded for it.
    default_data: ClassVar[str] = "photos"
    #: Whether it has a :meth:`loss_map`.
    has_maps: ClassVar[bool] = False

    @property
    def unmetered(self) -> Task:
        """Return the task itself where scoring it is counted (:class:`MeteredTask`)."""
        return self

    @abstractmethod
    def loss(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Return the differentiable loss of each image.

        Args:
            images: Processed images, (B, 3, H, W).
            scenes: The scenes that they were made from.

        Returns:
            (B,), lower is better.

        Raises:
            UserError: The scenes lack what the task needs to know (a target, objects, masks).
        """

    def loss_map(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Return what each pixel contributes to the loss, (B, 3, H, W) -> (B, H, W), whose mean is :meth:`loss`.

        Raises:
            UserError: The task has no such map.
        """
        raise UserError(f"task '{self.name}' has no reward map; name rewards, e.g. objective={{'fidelity': 1}}")

    def measures(self, scenes: SceneBatch) -> bool:
        """Tell whether the scenes have what the metrics need, e.g. targets."""
        return True

    def score_in(self, metrics: Collection[str]) -> str:
        """Name the metric to rank by, of those that were measured."""
        return self.score

    @abstractmethod
    def metric(self) -> Metric:
        """Make a fresh metric for one evaluation."""

    def draw_predictions(self, images: Tensor) -> Tensor:
        """Draw processed images for people, with what the task predicts in them: (B, 3, H, W) -> (B, 3, H', W')."""
        return images

    def draw_ground_truth(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Draw images of scenes for people, with the ground truth: (B, 3, H, W) -> (B, 3, H', W')."""
        return images


class Metric(ABC):
    """Evaluation metrics over a data set that is shown chunk by chunk."""

    @abstractmethod
    def update(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        """Take in some processed images.

        Args:
            images: (B, 3, H, W).
            scenes: The scenes that they were made from.

        Returns:
            Metrics of each image by itself, (B,) float64 on the CPU, NaN where an image has none; keys as in
            ``results.json``.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """Return the metrics of everything that was shown; NaN where they are not defined."""

    def left_out(self) -> int:
        """Count the images that were shown and count for no metric, because there is nothing in them to measure."""
        return 0


class MeanMetric(Metric):
    """A metric of a data set that is the mean over its images; NaN, "this image has none", is left out."""

    def __init__(self) -> None:
        self._chunks: dict[str, list[Tensor]] = {}

    @abstractmethod
    def measure(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        """Measure each image, see :meth:`Metric.update`."""

    def update(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        """See :meth:`Metric.update`."""
        metrics = self.measure(images.detach(), scenes)
        for name, values in metrics.items():
            self._chunks.setdefault(name, []).append(values)
        return metrics

    def compute(self) -> dict[str, float]:
        """Return the means."""
        return {name: float(torch.cat(chunks).nanmean()) for name, chunks in self._chunks.items()}

    def left_out(self) -> int:
        """Count the images whose every metric is NaN."""
        missing = [torch.cat(chunks).isnan() for chunks in self._chunks.values()]
        return int(torch.stack(missing).all(0).sum()) if missing else 0


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
        """Return the task itself, whose scores are not counted."""
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
        """Make a fresh metric, which spends an evaluation for each image that it is shown."""
        return _SpendingMetric(self._task.metric(), self)

    def draw_predictions(self, images: Tensor) -> Tensor:
        """See :meth:`Task.draw_predictions`."""
        return self._task.draw_predictions(images)

    def draw_ground_truth(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """See :meth:`Task.draw_ground_truth`."""
        return self._task.draw_ground_truth(images, scenes)


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
