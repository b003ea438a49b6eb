"""Comparing, copying and spoiling nested observations and infos, in numpy and torch alike."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch


def plain(value: Any) -> Any:
    """Return a deep copy in numpy."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy().copy()
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [plain(item) for item in value]
    return copy.deepcopy(value)


def row_of(value: Any, i: int) -> Any:
    """Return what a batched value says of sub-environment ``i``."""
    if isinstance(value, Mapping):
        return {key: row_of(item, i) for key, item in value.items()}
    return value[i]


def difference(one: Any, other: Any, tolerance: float = 0.0) -> str:
    """Say where two nested values first differ by more than ``tolerance`` (absolute and relative); "" if nowhere."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        if one.keys() != other.keys():
            return f"keys {sorted(one)} against {sorted(other)}"
        return next((f"['{k}']{d}" for k in one if (d := difference(one[k], other[k], tolerance))), "")
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        if len(one) != len(other):
            return f": length {len(one)} against {len(other)}"
        pairs = enumerate(zip(one, other, strict=True))
        return next((f"[{i}]{d}" for i, (a, b) in pairs if (d := difference(a, b, tolerance))), "")
    if one is None or other is None or isinstance(one, str):
        return "" if one is other or (one is not None and one == other) else f": {one!r} against {other!r}"
    a, b = np.asarray(one), np.asarray(other)
    if a.shape != b.shape:
        return f": shape {a.shape} against {b.shape}"
    if np.allclose(a.astype(float), b.astype(float), rtol=tolerance, atol=tolerance, equal_nan=True):
        return ""
    return f": {a.ravel()[:4]} against {b.ravel()[:4]}"


def spoil(value: Any) -> None:
    """Overwrite every array and tensor in a nested value."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        for item in value:
            spoil(item)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        spoil([item for item in value if item is not None])
    elif isinstance(value, np.ndarray) and value.flags.writeable:
        value[...] = np.ones((), value.dtype)
    elif isinstance(value, torch.Tensor):
        value.fill_(1)
