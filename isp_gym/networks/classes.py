"""Map the classes of the data to those of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from isp_gym.data import Objects
from isp_gym.data.annotations.coco_classes import plain_name
from isp_gym.errors import UserError, unknown

_LEFT_OUT, _NOT_KNOWN = -1, -2


class ClassMap:
    """Give objects the labels of a network: by name in any case, by a synonym, or as the user says.

    Args:
        classes: The network's classes.
        chosen: The network's class for a class of the data, or ``None`` to leave that class out.

    Raises:
        UserError: The network has no such class.
    """

    def __init__(self, classes: Sequence[str], chosen: Mapping[str, str | None]) -> None:
        self._classes = tuple(classes)
        self._indices = {plain_name(name): i for i, name in reversed(list(enumerate(classes)))}  # the first of its name
        for name in chosen.values():
            if name is not None and plain_name(name) not in self._indices:
                raise unknown("class of the network", name, set(classes))
        self._chosen = {plain_name(name): other for name, other in chosen.items()}
        self._tables: dict[tuple[str, ...], Tensor] = {}

    def __call__(self, objects: Objects, scene: str) -> Objects:
        """Return the same objects with labels that index the network's classes, without those that are left out.

        Args:
            objects: The annotations of a scene.
            scene: Its id, for the error.

        Raises:
            UserError: The network does not know the class of one of them.
        """
        if objects.classes not in self._tables:
            self._tables[objects.classes] = self._table(objects.classes)
        labels = self._tables[objects.classes][objects.labels.cpu()]
        if (labels == _NOT_KNOWN).any():
            name = objects.classes[int(objects.labels[int((labels == _NOT_KNOWN).int().argmax())])]
            raise UserError(
                f"scene '{scene}' holds a '{name}', which the network does not know; say which of its classes that is, "
                f"or null to leave it out, with task_options.classes={{{name}: ...}} ({', '.join(self._classes)})"
            )
        mapped = replace(objects, labels=labels.to(objects.labels), classes=self._classes)
        return select_objects(mapped, labels != _LEFT_OUT)

    def _table(self, classes: tuple[str, ...]) -> Tensor:
        """Return the network's label of each class of the data."""
        plain = [plain_name(name) for name in classes]
        for name in self._chosen:
            if name not in plain:
                raise unknown("class of the data", name, classes)
        return torch.tensor([self._label(self._chosen.get(name, name)) for name in plain], dtype=torch.int64)

    def _label(self, name: str | None) -> int:
        return _LEFT_OUT if name is None else self._indices.get(plain_name(name), _NOT_KNOWN)


def select_objects(objects: Objects, chosen: Tensor) -> Objects:
    """Select some of the objects by (n,) bool."""
    if chosen.all():
        return objects
    masks = None if objects.masks is None else objects.masks[chosen]
    return replace(
        objects, boxes=objects.boxes[chosen], labels=objects.labels[chosen], masks=masks, crowd=objects.crowd[chosen]
    )
