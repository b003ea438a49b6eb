"""The interface of a downstream task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor

from isp_gym.data import SceneBatch


class Task(ABC):
    """A frozen downstream task that says how good a batch of processed images is.

    Both methods judge each image by itself: image i's numbers do not depend on the rest of the batch. Images may leave
    [0, 1]; a task clips them, for the loss exactly as for the metrics, so that training and testing see the same image.
    """

    name: ClassVar[str]
    #: The metric that learning curves show and agents are ranked by; higher is better.
    score: ClassVar[str]

    @abstractmethod
    def loss(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Differentiable loss of each image.

        Args:
            images: Processed images, (B, 3, H, W).
            scenes: The scenes that they were made from.

        Returns:
            (B,), lower is better.
        """

    @abstractmethod
    def metrics(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        """Evaluation metrics of each image, each (B,) float64; keys as in ``results.json``."""
