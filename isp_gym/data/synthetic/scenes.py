"""Procedural scenes with boxes and masks, so that detection and segmentation need no download."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from isp_gym.data.scene import Objects, Scene, SceneSet
from isp_gym.data.sets.base import DataSource
from isp_gym.data.sets.base_files import to_tensor
from isp_gym.data.sets.base_photos import stable_integers
from isp_gym.data.store import LazyStore
from isp_gym.data.synthetic.render import CLASSES, draw_layout, render
from isp_gym.data.unprocess import UnprocessSettings, unprocess

VERSION = "1"
"""Of the scenes; the embedded network says with which version it was trained."""


class SyntheticScenes(DataSource):
    """Textured objects of six classes, cluttered and occluded, rendered well lit and unprocessed to dark RAW-RGB."""

    name = "synthetic"
    options = UnprocessSettings
    licence = "MIT (made by this package)"
    reference = "ISP Gym"
    description = "procedural objects of six classes with boxes and masks, unprocessed to dark RAW-RGB"

    def version(self) -> str:
        """Return the version, which changes when a scene does."""
        return VERSION

    def check(self, argument: str) -> None:
        """Accept everything: there is always something."""

    def fingerprint(self, argument: str) -> str:
        """Return the version."""
        return VERSION

    def load(
        self,
        argument: str,
        split: str,
        count: int,
        image_size: int,
        seed: int,
        on_error: str = "raise",
        options: Any = None,
    ) -> SceneSet:
        """Make scenes 0 to ``count`` - 1, each when it is first needed; see ``DataSource.load``."""
        names = [f"scene-{k}" for k in range(count)]

        def load(k: int) -> Scene:
            return make_scene(split, k, image_size, seed, options)

        return SceneSet(LazyStore(load, count), [f"{split}/{name}" for name in names], names, split, self.name)


def make_scene(split: str, k: int, image_size: int, seed: int = 0, settings: UnprocessSettings | None = None) -> Scene:
    """Make scene ``k`` of a split; at another size it is the same scene, seen by the same camera in the same light.

    Args:
        split: Any word; each has scenes of its own.
        k: Number of the scene.
        image_size: S.
        seed: Of all scenes.
        settings: Of the simulated camera.
    """
    layout_rng, camera_rng = np.random.default_rng(stable_integers((split, k, seed))).spawn(2)
    target, things = render(draw_layout(layout_rng), image_size)
    image = unprocess(target, camera_rng, settings)
    return Scene(to_tensor(image), to_tensor(target), f"{split}/scene-{k}", None, _objects(things, image_size))


def _objects(things: list[tuple[int, npt.NDArray[np.bool_]]], image_size: int) -> Objects:
    boxes, masks = [], []
    for _, mask in things:
        scale = image_size / len(mask)
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        boxes.append([columns[0] * scale, rows[0] * scale, (columns[-1] + 1) * scale, (rows[-1] + 1) * scale])
        covered = cv2.resize(mask.astype(np.float32), (image_size, image_size), interpolation=cv2.INTER_AREA)
        # What is thinner than a pixel keeps the pixels that it covers most.
        masks.append(covered >= min(0.5, covered.max()))
    return Objects(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor([label for label, _ in things], dtype=torch.int64),
        CLASSES,
        torch.from_numpy(np.stack(masks)) if masks else torch.zeros(0, image_size, image_size, dtype=torch.bool),
    )
