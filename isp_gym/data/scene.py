"""Scenes: an input image with its target and a stable id; and sets and batches of them."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

from isp_gym.data.access import note_read, refuse_sealed
from isp_gym.data.read_log import SPLITS
from isp_gym.data.store import SceneStore
from isp_gym.errors import UserError


@dataclass(frozen=True, eq=False)
class Objects:
    """The ground-truth objects of one scene.

    Attributes:
        boxes: (n, 4) float32: x1, y1, x2, y2 in pixels of the scene's image, inside it, with x2 > x1 and y2 > y1.
        labels: (n,) int64, indices into ``classes``.
        classes: Names of the data set's classes.
        masks: (n, S, S) bool, or ``None`` where the data has none.
        crowd: (n,) bool, COCO's ``iscrowd``: such regions are ignored in evaluation and in losses.
    """

    boxes: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    masks: Tensor | None = None
    crowd: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.bool))

    def __post_init__(self) -> None:
        if len(self.crowd) != len(self):
            object.__setattr__(self, "crowd", torch.zeros(len(self), dtype=torch.bool))
        if not len(self.boxes) == len(self.labels) == (len(self) if self.masks is None else len(self.masks)):
            raise ValueError("objects need one box, one label and, if there are masks, one mask each")

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Scene:
    """One scene.

    Attributes:
        image: What the pipeline gets: linear RGB in [0, 1], shape (3, S, S), float32.
        target: What it should become: display-referred sRGB in [0, 1], shape (3, S, S), float32; ``None`` where the
            data has no such image.
        id: ``split/name`` or ``split/name/number``, e.g. ``test/coffee.png/3``; equal ids of one data set, image size
            and seed are equal scenes.
        camera: What the camera itself made of this shot (its JPEG), sRGB like ``target``, where the data has it.
        objects: Its annotations, where the data has any.
    """

    image: Tensor
    target: Tensor | None
    id: str
    camera: Tensor | None = None
    objects: Objects | None = None


@dataclass(frozen=True)
class SceneBatch:
    """Several scenes in one piece: ``images`` and the rest (B, 3, S, S), ``ids`` and ``indices`` of length B."""

    images: Tensor
    targets: Tensor | None
    ids: tuple[str, ...]
    indices: tuple[int, ...]
    cameras: Tensor | None = None
    objects: tuple[Objects, ...] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def rows(self, rows: Tensor) -> SceneBatch:
        """Return copies of the scenes at ``rows``, (m,) int64, in that order."""
        where = rows.tolist()
        values = {one.name: _take(getattr(self, one.name), rows, where) for one in fields(self)}
        return SceneBatch(**values)

    def replace_rows(self, rows: Tensor, new: SceneBatch) -> SceneBatch:
        """Replace the scenes at ``rows``, (m,) int64, by ``new``; the tensors of this batch are written to."""
        kept = {int(row): i for i, row in enumerate(rows.tolist())}
        values = {
            one.name: _replace(getattr(self, one.name), rows, kept, getattr(new, one.name)) for one in fields(self)
        }
        return SceneBatch(**values)


def _take(value: Any, rows: Tensor, where: list[int]) -> Any:
    if isinstance(value, Tensor):
        return value.index_select(0, rows.to(value.device))
    return None if value is None else tuple(value[row] for row in where)


def _replace(value: Any, rows: Tensor, kept: dict[int, int], new: Any) -> Any:
    if isinstance(value, Tensor):
        return value.index_copy_(0, rows.to(value.device), new)
    return None if value is None else tuple(new[kept[i]] if i in kept else item for i, item in enumerate(value))


class SceneSet:
    """The scenes of one split, which nobody can change: every tensor that it hands out is a fresh copy.

    What it hands out is noted by every open ``recording``, so that a run can say which scenes it saw. While its split
    is ``sealed`` it hands out nothing. Iterating yields the scenes one by one.

    Args:
        store: The scenes' pixels and objects.
        ids: Id of each scene; no two alike.
        photos: Name of the photo that each scene was made from.
        split: One of ``SPLITS``.
        data: The data spec that the scenes come from, e.g. ``"photos"``.
        device: Where what it hands out lies; ``None`` for wherever the store has it.
        options: The data options that they were made with, in plain values; empty for the defaults.

    Raises:
        ValueError: If the lengths do not go together, or two ids are alike.
    """

    def __init__(
        self,
        store: SceneStore,
        ids: Sequence[str],
        photos: Sequence[str],
        split: str,
        data: str,
        device: torch.device | str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if not len(store) == len(ids) == len(photos) == len(set(ids)):
            raise ValueError("a scene set needs one image, one photo name and one unique id for each scene")
        self._store, self._device = store, device
        self.ids, self.photos = tuple(ids), tuple(photos)
        self.split, self.data, self.options = split, data, dict(options or {})
        self._positions = {scene_id: i for i, scene_id in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"SceneSet({self.data!r}, {self.split}, {len(self)} scenes)"

    def __getitem__(self, i: int) -> Scene:
        """Return scene ``i`` as copies; negative numbers count from the end. Raises ``IndexError`` outside the set."""
        one = self.batch([i])
        target, camera = (None if images is None else images[0] for images in (one.targets, one.cameras))
        return Scene(one.images[0], target, one.ids[0], camera, None if one.objects is None else one.objects[0])

    def batch(self, indices: Tensor | Iterable[int]) -> SceneBatch:
        """Return the scenes at ``indices`` in that order, repeats allowed, as fresh tensors.

        Args:
            indices: Positions in the set: whole numbers, or an integer tensor of shape (B,).

        Raises:
            IndexError: If a position is outside the set.
            TypeError: If a position is not a whole number.
            UserError: If the split is sealed.
        """
        numbers = indices.tolist() if isinstance(indices, Tensor) else list(indices)
        positions = self._hand_out(numbers)
        parts = self._store.fetch(positions)
        if self._device is not None:
            parts = parts.to(self._device)
        ids = tuple(self.ids[i] for i in positions)
        return SceneBatch(parts.images, parts.targets, ids, positions, parts.cameras, parts.objects)

    @property
    def images(self) -> Tensor:
        """Copy all input images, (N, 3, S, S); counts as reading every scene. In a loop, prefer ``batch``."""
        return self.batch(range(len(self))).images

    @property
    def targets(self) -> Tensor | None:
        """Return all target images, (N, 3, S, S), as a copy; counts as reading every scene."""
        return self.batch(range(len(self))).targets

    def index(self, scene_id: str) -> int:
        """Return the position of the scene called ``scene_id``.

        Raises:
            UserError: If it is not in this set; the message says which split it belongs to where the id tells.
        """
        if scene_id in self._positions:
            return self._positions[scene_id]
        split = str(scene_id).split("/", 1)[0]
        whose = f"a {split} scene" if split in SPLITS and split != self.split else "no scene of it"
        raise UserError(
            f"scene '{scene_id}' is {whose}: this set holds the {len(self)} {self.split} scenes of data={self.data}, "
            f"'{self.ids[0]}' to '{self.ids[-1]}'"
        )

    def to(self, device: torch.device | str) -> SceneSet:
        """Return the same scenes on ``device``; the pixels are shared, not copied."""
        return SceneSet(self._store, self.ids, self.photos, self.split, self.data, device, self.options)

    def _hand_out(self, numbers: Iterable[int]) -> tuple[int, ...]:
        refuse_sealed(self.split)
        positions = tuple(self._position(i) for i in numbers)
        note_read(self.split, [self.ids[i] for i in positions])
        return positions

    def _position(self, i: int) -> int:
        if isinstance(i, bool):
            raise TypeError("a scene is picked by its position, not by True or False")
        i = operator.index(i)
        if not -len(self) <= i < len(self):
            raise IndexError(f"scene {i} of {len(self)}")
        return i % len(self)
