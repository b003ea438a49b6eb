"""The interface of a detection or segmentation network. A new kind of network is a file with a subclass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from isp_gym.data import Objects


@dataclass(frozen=True, eq=False)
class Detections:
    """What a network predicts in one image, sorted by confidence, at most 100.

    Attributes:
        boxes: (n, 4) float32: x1, y1, x2, y2 in pixels of the image that was shown.
        scores: (n,) in [0, 1], descending.
        labels: (n,) int64, indices into the network's classes.
        masks: (n, S, S) bool, or ``None`` from a network without masks.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None


class Network(ABC):
    """A frozen detector or instance segmenter: eval mode, no gradients into its weights.

    Attributes:
        classes: The names of what it detects.
        loss_names: The losses that it has, e.g. ``("box", "objectness", "class", "mask")``.
    """

    classes: tuple[str, ...]
    loss_names: tuple[str, ...]

    @abstractmethod
    def losses(self, images: Tensor, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """Compute the losses of each image from one batched forward pass.

        Args:
            images: sRGB in [0, 1], (B, 3, S, S); gradients flow into them.
            objects: Their annotations; labels index :attr:`classes`, and there are no crowd regions.

        Returns:
            Each of :attr:`loss_names`, (B,); image i's depend on image i only.
        """

    @abstractmethod
    def detect(self, images: Tensor) -> list[Detections]:
        """Predict the objects in each image, without gradients."""
