"""Scenes: an input image with its target and a stable id; and sets and batches of them."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from isp_gym.data.splits import SPLITS, refuse_sealed
from isp_gym.errors import UserError


@dataclass(frozen=True)
class Scene:
    """One scene.

    Attributes:
        image: What the pipeline gets: linear RGB in [0, 1], shape (3, S, S), float32.
        target: What it should become: display-referred sRGB in [0, 1], shape (3, S, S), float32.
        id: ``split/photo/number``, e.g. ``test/coffee.png/3``; equal ids of one data set, image size and seed are
            equal scenes.
    """

    image: Tensor
    target: Tensor
    id: str


@dataclass(frozen=True)
class SceneBatch:
    """Several scenes in one piece: ``images`` and ``targets`` (B, 3, S, S), ``ids`` and ``indices`` of length B."""

    images: Tensor
    targets: Tensor
    ids: tuple[str, ...]
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)


class SceneSet:
    """The scenes of one split, which nobody can change: every tensor that it hands out is a fresh copy.

    It keeps a record of what it handed out (``read``), so that a run can say which scenes it saw. While its split is
    sealed (see ``sealed``) it hands out nothing. Iterating yields the scenes one by one.

    Args:
        images: Input images (N, 3, S, S) float32 in [0, 1]; owned by the set from here on.
        targets: Target images, likewise.
        ids: Id of each scene; no two alike.
        photos: Name of the photo that each scene was cut from.
        split: One of ``SPLITS``.
        data: The data spec that the scenes come from, e.g. ``"skimage"``.

    Raises:
        ValueError: If the lengths or shapes do not go together, or two ids are alike.
    """

    def __init__(
        self, images: Tensor, targets: Tensor, ids: Sequence[str], photos: Sequence[str], split: str, data: str
    ) -> None:
        if images.ndim != 4 or images.shape != targets.shape:
            raise ValueError(f"images {tuple(images.shape)} and targets {tuple(targets.shape)} must be (N, 3, S, S)")
        if not len(images) == len(ids) == len(photos) == len(set(ids)):
            raise ValueError("a scene set needs one image, one photo name and one unique id for each scene")
        self._images, self._targets = images, targets
        self.ids, self.photos = tuple(ids), tuple(photos)
        self.split, self.data = split, data
        self._positions = {scene_id: i for i, scene_id in enumerate(self.ids)}
        self._read: set[int] = set()

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        size = "x".join(str(n) for n in self._images.shape[2:])
        return f"SceneSet({self.data!r}, {self.split}, {len(self)} scenes, {size})"

    def __getitem__(self, i: int) -> Scene:
        """Scene ``i`` as copies; negative numbers count from the end. Raises ``IndexError`` outside the set."""
        (i,) = self._hand_out([i])
        return Scene(self._images[i].clone(), self._targets[i].clone(), self.ids[i])

    def batch(self, indices: Tensor | Iterable[int]) -> SceneBatch:
        """The scenes at ``indices`` in that order, repeats allowed, as fresh tensors.

        Args:
            indices: Positions in the set: whole numbers, or an integer tensor of shape (B,).

        Raises:
            IndexError: If a position is outside the set.
            TypeError: If a position is not a whole number.
            UserError: If the split is sealed.
        """
        numbers = indices.tolist() if isinstance(indices, Tensor) else list(indices)
        positions = self._hand_out(numbers)
        index = torch.tensor(positions, dtype=torch.long, device=self._images.device)
        ids = tuple(self.ids[i] for i in positions)
        return SceneBatch(self._images[index], self._targets[index], ids, positions)

    @property
    def images(self) -> Tensor:
        """All input images, (N, 3, S, S), as a copy; counts as reading every scene. In a loop, prefer ``batch``."""
        self._hand_out(range(len(self)))
        return self._images.clone()

    @property
    def targets(self) -> Tensor:
        """All target images, (N, 3, S, S), as a copy; counts as reading every scene."""
        self._hand_out(range(len(self)))
        return self._targets.clone()

    @property
    def read(self) -> tuple[str, ...]:
        """Ids of the scenes handed out so far, in the order of the set."""
        return tuple(self.ids[i] for i in sorted(self._read))

    def index(self, scene_id: str) -> int:
        """Position of the scene called ``scene_id``.

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
        """The same scenes on ``device``. What either set hands out is recorded in both."""
        moved = SceneSet(
            self._images.to(device), self._targets.to(device), self.ids, self.photos, self.split, self.data
        )
        moved._read = self._read
        return moved

    def fresh(self) -> SceneSet:
        """The same scenes with an empty record of reading; the pixels are shared, not copied."""
        return SceneSet(self._images, self._targets, self.ids, self.photos, self.split, self.data)

    def _hand_out(self, numbers: Iterable[int]) -> tuple[int, ...]:
        refuse_sealed(self.split)
        positions = tuple(self._position(i) for i in numbers)
        self._read.update(positions)
        return positions

    def _position(self, i: int) -> int:
        if isinstance(i, bool):
            raise TypeError("a scene is picked by its position, not by True or False")
        i = operator.index(i)
        if not -len(self) <= i < len(self):
            raise IndexError(f"scene {i} of {len(self)}")
        return i % len(self)
