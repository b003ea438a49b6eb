"""The interface of a downstream task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import ClassVar

import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.errors import UserError


class Task(ABC):
    """A frozen downstream task that says how good a batch of processed images is.

    It judges each image by itself: image i's numbers do not depend on the rest of the batch. Images may leave [0, 1]; a
    task clips them, for the loss exactly as for the metrics, so that training and testing see the same image. Making a
    task is cheap; what is heavy (a network) is loaded when it is first needed.
    """

    name: ClassVar[str]
    #: The metric that learning curves show and agents are ranked by; higher is better.
    score: ClassVar[str]
    #: Whether it judges by a network that the user may choose, as in ``detection:NETWORK``.
    takes_network: ClassVar[bool] = False
    #: The data that it is shown where none is named; nothing is downloaded for it.
    default_data: ClassVar[str] = "photos"
    #: Whether it has a :meth:`loss_map`.
    has_maps: ClassVar[bool] = False

    @property
    def unmetered(self) -> Task:
        """The task itself where scoring it is counted (:class:`isp_gym.tasks.metered.MeteredTask`)."""
        return self

    @abstractmethod
    def loss(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Differentiable loss of each image.

        Args:
            images: Processed images, (B, 3, H, W).
            scenes: The scenes that they were made from.

        Returns:
            (B,), lower is better.

        Raises:
            UserError: The scenes lack what the task needs to know (a target, objects, masks).
        """

    def loss_map(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """What each pixel contributes to the loss, (B, 3, H, W) -> (B, H, W), whose mean is :meth:`loss`.

        Raises:
            UserError: The task has no such map.
        """
        raise UserError(f"task '{self.name}' has no reward map; name rewards, e.g. objective={{'fidelity': 1}}")

    def measures(self, scenes: SceneBatch) -> bool:
        """Whether the scenes have what the metrics need, e.g. targets."""
        return True

    def score_in(self, metrics: Collection[str]) -> str:
        """The metric to rank by, of those that were measured."""
        return self.score

    @abstractmethod
    def metric(self) -> Metric:
        """A fresh metric for one evaluation."""

    def draw_found(self, images: Tensor) -> Tensor:
        """Processed images for people, with what the task sees in them: (B, 3, H, W) -> (B, 3, H', W')."""
        return images

    def draw_truth(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Images of scenes for people, with what the task should see in them: (B, 3, H, W) -> (B, 3, H', W')."""
        return images


class Metric(ABC):
    """Evaluation metrics over a data set that is shown part by part."""

    @abstractmethod
    def update(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        """Show some processed images.

        Args:
            images: (B, 3, H, W).
            scenes: The scenes that they were made from.

        Returns:
            Metrics of each image by itself, (B,) float64 on the CPU, NaN where an image has none; keys as in
            ``results.json``.
        """

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The metrics of everything that was shown; NaN where they are not defined."""

    def left_out(self) -> int:
        """How many of the images that were shown count for no metric, because there is nothing in them to measure."""
        return 0


class MeanMetric(Metric):
    """A metric of a data set that is the mean over its images; NaN, "this image has none", is left out."""

    def __init__(self) -> None:
        self._parts: dict[str, list[Tensor]] = {}

    @abstractmethod
    def measure(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        """Metrics of each image, see :meth:`Metric.update`."""

    def update(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        """See :meth:`Metric.update`."""
        metrics = self.measure(images.detach(), scenes)
        for name, values in metrics.items():
            self._parts.setdefault(name, []).append(values)
        return metrics

    def compute(self) -> dict[str, float]:
        """The means."""
        return {name: float(torch.cat(parts).nanmean()) for name, parts in self._parts.items()}

    def left_out(self) -> int:
        """The images whose every metric is NaN."""
        missing = [torch.cat(parts).isnan() for parts in self._parts.values()]
        return int(torch.stack(missing).all(0).sum()) if missing else 0
