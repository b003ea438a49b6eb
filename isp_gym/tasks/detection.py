"""Detection: make the image such that a frozen detector finds what is in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from isp_gym.data import Objects, SceneBatch
from isp_gym.errors import UserError, unknown
from isp_gym.networks import Network, load_network
from isp_gym.networks.classes import ClassMap, pick
from isp_gym.tasks.average_precision import AveragePrecision
from isp_gym.tasks.base import Metric, Task
from isp_gym.tasks.drawing import draw_detections, draw_objects


class Detection(Task):
    """The losses of a frozen detector as the loss; COCO's mAP of what it finds for evaluation.

    Args:
        network: The detector, or its name as for :func:`isp_gym.networks.load_network`.
        device: Torch device to load it on.
        losses: Names of those of its losses to add up, or a weight for each; by default all but that of masks.
        classes: The network's class for classes of the data that it calls otherwise, or ``None`` to leave a class out,
            e.g. ``{"lorry": "truck", "tram": None}``.

    Raises:
        UserError: An option is of the wrong form. What the network does not have is found when it is loaded.
    """

    name = "detection"
    score = "box_map"
    takes_network = True
    default_data = "synthetic"
    #: Whose overlap is measured.
    kinds: ClassVar[tuple[str, ...]] = ("box",)

    def __init__(
        self,
        network: str | Network = "",
        device: str = "cpu",
        losses: Sequence[str] | Mapping[str, float] | None = None,
        classes: Mapping[str, str | None] | None = None,
    ) -> None:
        self._given, self._device = network, device
        self._losses = None if losses is None else _weights(losses)
        if not isinstance(classes or {}, Mapping):
            raise UserError(f"task_options.classes must map classes of the data to the network's, not {classes!r}")
        self._classes = dict(classes or {})

    @cached_property
    def network(self) -> Network:
        """The detector, loaded when it is first needed."""
        network = self._given if isinstance(self._given, Network) else load_network(self._given, self._device)
        self.check_network(network)
        return network

    @cached_property
    def weights(self) -> dict[str, float]:
        """The weight of each loss that counts."""
        return dict.fromkeys(self.default_losses(), 1.0) if self._losses is None else self._losses

    def default_losses(self) -> list[str]:
        """The losses that count if the user has not named any."""
        return [name for name in self.network.loss_names if name != "mask"]

    def check_network(self, network: Network) -> None:
        """Raise ``UserError`` if the network lacks what the task or the user asks of it."""
        for name in self._losses or ():
            if name not in network.loss_names:
                raise unknown("loss of the network", name, network.loss_names)

    @cached_property
    def _class_map(self) -> ClassMap:
        return ClassMap(self.network.classes, self._classes)

    def truths(self, scenes: SceneBatch) -> list[Objects]:
        """What the network should find in each scene, crowds included, with the network's labels.

        Raises:
            UserError: The scenes do not say what is in them, or the network does not know it.
        """
        if scenes.objects is None:
            raise UserError(
                f"task '{self.name}' needs to know what is to be found, and scene '{scenes.ids[0]}' does not say; "
                "use data with objects (synthetic, coco:PATH, lod:PATH, lis:PATH) or another task"
            )
        return [self._class_map(one, scene) for one, scene in zip(scenes.objects, scenes.ids, strict=True)]

    def loss(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Weighted sum of the network's losses on each clipped image, (B,); crowds are not learned from."""
        objects = [pick(one, ~one.crowd) for one in self.truths(scenes)]
        losses = self.network.losses(images.clamp(0, 1), objects)
        return torch.stack([losses[name] * weight for name, weight in self.weights.items()]).sum(0)

    def measures(self, scenes: SceneBatch) -> bool:
        """Whether they are annotated."""
        return scenes.objects is not None

    def metric(self) -> DetectionMetric:
        """COCO's mAP."""
        return DetectionMetric(self)

    def draw_found(self, images: Tensor) -> Tensor:
        """See :meth:`Task.draw_found`: boxes, classes, scores and, if there are any, masks."""
        found = self.network.detect(images.detach().clamp(0, 1))
        classes = self.network.classes
        return torch.stack([draw_detections(*pair, classes) for pair in zip(images, found, strict=True)])

    def draw_truth(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """See :meth:`Task.draw_truth`: boxes, classes and, if there are any, masks."""
        return torch.stack([draw_objects(*pair) for pair in zip(images, self.truths(scenes), strict=True)])


class DetectionMetric(Metric):
    """mAP of what the network finds in clipped images, see :class:`AveragePrecision`."""

    def __init__(self, task: Detection) -> None:
        self._task = task
        self._kinds = [AveragePrecision(kind) for kind in task.kinds]

    def update(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        """See :meth:`Metric.update`."""
        truths = self._task.truths(scenes)
        found = self._task.network.detect(images.detach().clamp(0, 1))
        return {name: values for kind in self._kinds for name, values in kind.update(truths, found).items()}

    def compute(self) -> dict[str, float]:
        """See :meth:`Metric.result`; NaN if there was nothing to be found in any image."""
        return {name: value for kind in self._kinds for name, value in kind.compute().items()}


def _weights(losses: Any) -> dict[str, float]:
    """Names, or names with weights, as weights."""
    if isinstance(losses, str) or not isinstance(losses, (Sequence, Mapping)) or not losses:
        raise UserError(f"task_options.losses must be names of losses or a weight for each, not {losses!r}")
    weights = dict(losses) if isinstance(losses, Mapping) else dict.fromkeys(losses, 1.0)
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight):
            raise UserError(f"task_options.losses: the weight of '{name}' must be a finite number, not {weight!r}")
    return weights
