"""Detection: make the image such that a frozen detector predicts its ground-truth objects."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from isp_gym.data import Objects, SceneBatch
from isp_gym.errors import UserError, unknown
from isp_gym.networks import Network, load_network
from isp_gym.networks.classes import ClassMap, select_objects
from isp_gym.tasks.average_precision import AveragePrecision
from isp_gym.tasks.base import Metric, Task
from isp_gym.tasks.drawing import draw_detections, draw_objects


class Detection(Task):
    """The losses of a frozen detector as the loss; COCO's mAP of its predictions for evaluation.

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
        """Load the detector when it is first needed."""
        network = self._given if isinstance(self._given, Network) else load_network(self._given, self._device)
        self.check_network(network)
        return network

    @cached_property
    def weights(self) -> dict[str, float]:
        """Return the weight of each loss that counts."""
        return dict.fromkeys(self.default_losses(), 1.0) if self._losses is None else self._losses

    def default_losses(self) -> list[str]:
        """Name the losses that count if the user has not named any."""
        return [name for name in self.network.loss_names if name != "mask"]

    def check_network(self, network: Network) -> None:
        """Raise ``UserError`` if the network lacks what the task or the user asks of it."""
        for name in self._losses or ():
            if name not in network.loss_names:
                raise unknown("loss of the network", name, network.loss_names)

    @cached_property
    def _class_map(self) -> ClassMap:
        return ClassMap(self.network.classes, self._classes)

    def ground_truth(self, scenes: SceneBatch) -> list[Objects]:
        """Return the annotations of each scene, crowd regions included, with the network's labels.

        Raises:
            UserError: The scenes have no annotations, or of a class that the network does not have.
        """
        if scenes.objects is None:
            raise UserError(
                f"task '{self.name}' needs ground-truth objects, and scene '{scenes.ids[0]}' has no annotations; "
                "use data with objects (synthetic, coco:PATH, lod:PATH, lis:PATH) or another task"
            )
        return [self._class_map(one, scene) for one, scene in zip(scenes.objects, scenes.ids, strict=True)]

    def loss(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Return the weighted sum of the network's losses on each clipped image, (B,); crowd regions are ignored."""
        objects = [select_objects(one, ~one.crowd) for one in self.ground_truth(scenes)]
        losses = self.network.losses(images.clamp(0, 1), objects)
        return torch.stack([losses[name] * weight for name, weight in self.weights.items()]).sum(0)

    def measures(self, scenes: SceneBatch) -> bool:
        """Tell whether they are annotated."""
        return scenes.objects is not None

    def metric(self) -> DetectionMetric:
        """Make a fresh metric: COCO's mAP."""
        return DetectionMetric(self)

    def draw_predictions(self, images: Tensor) -> Tensor:
        """See :meth:`Task.draw_predictions`: boxes, classes, scores and, if there are any, masks."""
        predictions = self.network.detect(images.detach().clamp(0, 1))
        classes = self.network.classes
        return torch.stack([draw_detections(*pair, classes) for pair in zip(images, predictions, strict=True)])

    def draw_ground_truth(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """See :meth:`Task.draw_ground_truth`: boxes, classes and, if there are any, masks."""
        return torch.stack([draw_objects(*pair) for pair in zip(images, self.ground_truth(scenes), strict=True)])


class DetectionMetric(Metric):
    """mAP of what the network predicts in clipped images, see :class:`AveragePrecision`.

    A warning says so, once, if not one prediction could count.
    """

    def __init__(self, task: Detection) -> None:
        self._task = task
        self._kinds = [AveragePrecision(kind) for kind in task.kinds]
        self._images = self._side = 0
        self._annotated: set[int] = set()
        self._predicted: set[int] = set()

    def update(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        """See :meth:`Metric.update`."""
        ground_truth = self._task.ground_truth(scenes)
        predictions = self._task.network.detect(images.detach().clamp(0, 1))
        self._images, self._side = self._images + len(images), images.shape[-1]
        self._annotated.update(*(one.labels[~one.crowd].tolist() for one in ground_truth))
        self._predicted.update(*(one.labels.tolist() for one in predictions))
        return {name: values for kind in self._kinds for name, values in kind.update(ground_truth, predictions).items()}

    def compute(self) -> dict[str, float]:
        """See :meth:`Metric.compute`; NaN if no image has a ground-truth object."""
        if self._annotated and not self._annotated & self._predicted:
            warnings.warn(self._hint(), stacklevel=2)
        return {name: value for kind in self._kinds for name, value in kind.compute().items()}

    def _hint(self) -> str:
        """Say in one line why nothing was predicted that could be right, and what may help."""
        if not self._predicted:
            return (
                f"the network of task '{self._task.name}' predicted no object in any of {self._images} images; if they "
                f"are too dark, compare with the agent 'camera'; if objects are too small, raise image_size "
                f"({self._side}); if its score threshold is too high, lower it"
            )
        names = ", ".join(sorted(self._task.network.classes[label] for label in self._annotated)[:5])
        return (
            f"no prediction of the network of task '{self._task.name}' is of a class that is annotated ({names}, ...); "
            "if it calls them otherwise, say how with task_options.classes"
        )


def _weights(losses: Any) -> dict[str, float]:
    """Turn names, or names with weights, into weights."""
    if isinstance(losses, str) or not isinstance(losses, (Sequence, Mapping)) or not losses:
        raise UserError(f"task_options.losses must be names of losses or a weight for each, not {losses!r}")
    weights = dict(losses) if isinstance(losses, Mapping) else dict.fromkeys(losses, 1.0)
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not math.isfinite(weight):
            raise UserError(f"task_options.losses: the weight of '{name}' must be a finite number, not {weight!r}")
    return weights
