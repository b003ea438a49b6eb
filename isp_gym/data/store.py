"""Where the scenes of a set are kept: in memory, or made when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from isp_gym.data.scene import Objects, Scene


class SceneStore(Protocol):
    """Gives out copies of scenes by their position."""

    def __len__(self) -> int: ...

    def fetch(self, positions: Sequence[int]) -> Parts:
        """Return the scenes at ``positions``, in that order."""


class Parts:
    """What scenes consist of, row i being scene i.

    Attributes:
        images: (B, 3, S, S).
        targets: Likewise, or ``None``.
        cameras: Likewise, or ``None``.
        objects: One per scene, or ``None``.
    """

    def __init__(
        self,
        images: Tensor,
        targets: Tensor | None = None,
        cameras: Tensor | None = None,
        objects: Sequence[Objects] | None = None,
    ) -> None:
        self.images, self.targets, self.cameras = images, targets, cameras
        self.objects = None if objects is None else tuple(objects)

    def take(self, positions: Sequence[int]) -> Parts:
        """Copy some rows; objects are never changed, so theirs are shared."""
        index = torch.tensor(positions, dtype=torch.long, device=self.images.device)
        targets, cameras = (None if t is None else t[index] for t in (self.targets, self.cameras))
        objects = None if self.objects is None else [self.objects[i] for i in positions]
        return Parts(self.images[index], targets, cameras, objects)

    def to(self, device: torch.device | str) -> Parts:
        """Return the same on another device; objects, which only tasks read, stay where they are."""
        targets, cameras = (None if t is None else t.to(device) for t in (self.targets, self.cameras))
        return Parts(self.images.to(device), targets, cameras, self.objects)


class MemoryStore:
    """All scenes in memory.

    Args:
        images: Input images (N, 3, S, S) float32 in [0, 1]; owned by the store from here on.
        targets: Target images, likewise; ``None`` where the data has none.
        cameras: What the camera made of each shot, likewise.
        objects: The annotations of each scene.

    Raises:
        ValueError: If lengths or shapes do not go together.
    """

    def __init__(
        self,
        images: Tensor,
        targets: Tensor | None = None,
        cameras: Tensor | None = None,
        objects: Sequence[Objects] | None = None,
    ) -> None:
        for name, others in (("targets", targets), ("cameras", cameras)):
            if images.ndim != 4 or (others is not None and images.shape != others.shape):
                shape = None if others is None else tuple(others.shape)
                raise ValueError(f"images {tuple(images.shape)} and {name} {shape} must be (N, 3, S, S)")
        if objects is not None and len(objects) != len(images):
            raise ValueError(f"{len(objects)} rows of objects for {len(images)} images")
        self._parts = Parts(images, targets, cameras, objects)

    def __len__(self) -> int:
        return len(self._parts.images)

    def fetch(self, positions: Sequence[int]) -> Parts:
        """Return copies of the scenes at ``positions``."""
        return self._parts.take(positions)


class LazyStore:
    """Scenes made one by one when they are asked for, several at a time by threads; the first are kept in memory.

    Args:
        load: Makes scene i; the same scene each time.
        count: How many there are.
        workers: Threads; decoders and file systems work outside Python's lock.
        memory: Bytes of scenes that are kept. When they are full, other scenes are made each time: for scenes in random
            order no other choice of what to keep would do better.
    """

    def __init__(
        self, load: Callable[[int], Scene], count: int, workers: int = 4, memory: int = 256 * 1024 * 1024
    ) -> None:
        self._load, self._count, self._workers = load, count, workers
        self._kept: dict[int, Scene] = {}
        self._free = memory

    def __len__(self) -> int:
        return self._count

    def fetch(self, positions: Sequence[int]) -> Parts:
        """Fetch the scenes at ``positions``, each made once."""
        unique = sorted(set(positions))
        made = {i: self._kept[i] for i in unique if i in self._kept}
        missing = [i for i in unique if i not in made]
        if len(missing) > 1:
            with ThreadPoolExecutor(min(self._workers, len(missing))) as pool:
                made.update(zip(missing, pool.map(self._load, missing), strict=True))
        else:
            made.update((i, self._load(i)) for i in missing)
        for i in missing:
            self._keep(i, made[i])
        rows = [made[i] for i in positions]
        return Parts(
            torch.stack([scene.image for scene in rows]),
            _stack([scene.target for scene in rows]),
            _stack([scene.camera for scene in rows]),
            None if any(scene.objects is None for scene in rows) else [scene.objects for scene in rows],  # type: ignore[misc]
        )

    def _keep(self, i: int, scene: Scene) -> None:
        size = _bytes(scene)
        if size <= self._free and i not in self._kept:
            self._kept[i] = scene
            self._free -= size


def _bytes(scene: Scene) -> int:
    masks = None if scene.objects is None else scene.objects.masks
    return sum(tensor.nbytes for tensor in (scene.image, scene.target, scene.camera, masks) if tensor is not None)


def _stack(images: Sequence[Tensor | None]) -> Tensor | None:
    return None if any(image is None for image in images) else torch.stack(images)  # type: ignore[arg-type]
