"""Check what every data source must do."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import torch

from isp_gym.data import SPLITS, SceneSet, check_data, data_card, load_scenes

_SIDE = 32


def check_data_source(data: str, count: int = 4, options: Mapping[str, Any] | None = None) -> None:
    """Check a data source: its table row, its splits, and that each scene is what its number says and nothing else.

    Args:
        data: The data spec, e.g. ``"skimage"``, ``"package.module:Name"`` or ``"package.module:Name:ARGUMENT"``.
        count: Scenes to look at in each split; at least 2.
        options: ``data_options`` that must make a difference, of a source that takes any.

    Raises:
        AssertionError: A check has failed; the message says which.

    Example:
        >>> check_data_source("synthetic", count=2, options={"light": [0.05, 0.1]})
    """
    _check_sets(data, count, None)
    if options:
        _check_sets(data, count, options)
        plain, other = (load_scenes(data, "train", count, _SIDE, options=given) for given in (None, options))
        same = len(plain) == len(other) and torch.equal(plain.images, other.images)
        assert not same, f"its scenes are the same with data_options {dict(options)} and without"


def _check_sets(data: str, count: int, options: Mapping[str, Any] | None) -> None:
    check_data(data, options)
    sets = {split: load_scenes(data, split, count, _SIDE, options=options) for split in SPLITS}
    for scenes in sets.values():
        _check_scenes(scenes)
        _check_numbers(scenes)
    _check_splits(list(sets.values()))
    _check_card(data, list(sets.values()))


def _check_scenes(scenes: SceneSet) -> None:
    assert len(scenes), f"split '{scenes.split}' is empty"
    assert all(name.startswith(f"{scenes.split}/") for name in scenes.ids), f"ids must begin with '{scenes.split}/'"
    batch = scenes.batch(range(len(scenes)))
    shape = (len(scenes), 3, _SIDE, _SIDE)
    for name, images in (("images", batch.images), ("targets", batch.targets), ("cameras", batch.cameras)):
        if images is not None:
            assert images.shape == shape, f"{name} must be {shape}, not {tuple(images.shape)}"
            assert images.dtype == torch.float32, f"{name} must be float32, not {images.dtype}"
            assert bool(((images >= 0) & (images <= 1)).all()), f"{name} must lie in [0, 1]"
    for objects in batch.objects or ():
        known = bool(((objects.labels >= 0) & (objects.labels < len(objects.classes))).all())
        assert known, "a label is not an index into the classes"
        inside = bool(((objects.boxes >= 0) & (objects.boxes <= _SIDE)).all())
        assert inside and bool((objects.boxes[:, 2:] > objects.boxes[:, :2]).all()), "a box must be inside its image"
        masked = objects.masks is None or objects.masks.shape == (len(objects), _SIDE, _SIDE)
        assert masked, f"masks must be (n, {_SIDE}, {_SIDE})"


def _check_numbers(scenes: SceneSet) -> None:
    """Return scene k is a pure function of its number; another count is another load, not one that was kept."""
    fewer = load_scenes(scenes.data, scenes.split, max(1, len(scenes) - 1), _SIDE, options=scenes.options)
    assert fewer.ids == scenes.ids[: len(fewer)], "asked for fewer scenes, it gives others"
    for k in range(len(fewer)):
        same = torch.equal(fewer.batch([k]).images, scenes.batch([k]).images)
        assert same, f"scene {k} depends on how many there are, or is another each time"


def _check_splits(sets: list[SceneSet]) -> None:
    for one, other in combinations(sets, 2):
        for image in one.images:
            shared = any(torch.equal(image, theirs) for theirs in other.images)
            assert not shared, f"splits '{one.split}' and '{other.split}' share an image"


def _check_card(data: str, sets: list[SceneSet]) -> None:
    card = data_card(sets)
    assert card["spec"] == data, f"its card says '{card['spec']}', not '{data}'"
    for key in ("licence", "reference", "version"):
        assert isinstance(card[key], str) and card[key], f"{key} is missing"
    assert card == data_card(sets), "its checksums change by themselves"
