"""Splits for data sets that are not distributed as train, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from isp_gym.data.sets.base_files import Item

ItemT = TypeVar("ItemT", bound=Item)


def _hash(name: str) -> int:
    return int(hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:8], 16)


def in_validation_tenth(name: str) -> bool:
    """Tell whether a training image is in the fixed tenth that is kept for validation."""
    return _hash(name) % 10 == 0


def split_by_hash(name: str) -> str:
    """Return the split of an image where there are no lists at all: 60/20/20 by its name."""
    part = _hash(name) % 10
    return "train" if part < 6 else "validation" if part < 8 else "test"


def from_lists(lists: Mapping[str, Sequence[ItemT]]) -> dict[str, Sequence[ItemT]]:
    """Return the splits of data that comes as ``train`` and ``val``, and perhaps ``test``.

    Without annotated test images ``val`` is the test split, and a tenth of ``train`` the validation: at least one.
    """
    train, val = lists["train"], lists["val"]
    if "test" in lists:
        return {"train": train, "validation": val, "test": lists["test"]}
    kept = {item.name for item in train if in_validation_tenth(item.name)}
    if train and not kept:
        kept = {min(train, key=lambda item: _hash(item.name)).name}
    return {
        "train": [item for item in train if item.name not in kept],
        "validation": [item for item in train if item.name in kept],
        "test": val,
    }
