"""Checks of what an agent asks for: one clear ``ValueError``, raised before anything has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def entry(actions: Any, name: str) -> Any:
    """One entry of a dict action.

    Raises:
        ValueError: ``actions`` is no dict or has no such entry.
    """
    if not isinstance(actions, Mapping):
        raise ValueError(f"the action must be a dict with '{name}', not {type(actions).__name__}")
    if name not in actions:
        raise ValueError(f"the action has no '{name}'; it has {sorted(actions)}")
    return actions[name]


def check_box(name: str, values: Any, shape: tuple[int, ...], low: float, device: torch.device) -> Tensor:
    """Numbers in [low, 1] as a float32 tensor; the caller must not write to it.

    Args:
        name: What to call them in an error.
        values: Array or tensor.
        shape: The shape that they must have, lanes first.
        low: Least value allowed.
        device: Where the tensor is wanted.

    Raises:
        ValueError: No numbers, wrong shape, NaN or infinity, or outside [low, 1].
    """
    tensor = _tensor(name, values)
    if tuple(tensor.shape) != shape:
        raise ValueError(f"'{name}' must have shape {shape}, not {tuple(tensor.shape)}")
    tensor = tensor.to(device, torch.float32)
    least, most = tensor.aminmax()  # both NaN if anything is
    if not (least >= low and most <= 1):
        where = torch.nonzero(~((tensor >= low) & (tensor <= 1)))[0].tolist()
        value = float(tensor[tuple(where)])
        raise ValueError(f"'{name}' must lie in [{low:g}, 1]; lane {where[0]}, entry {where[1:]} is {value:g}")
    return tensor


def check_integers(name: str, values: Any, shape: tuple[int, ...], counts: Any, device: torch.device) -> Tensor:
    """Whole numbers, entry i in [0, counts[i]), as an int64 tensor; the caller must not write to it.

    Args:
        name: What to call them in an error.
        values: Array or tensor.
        shape: The shape that they must have, lanes first.
        counts: How many values each entry can take; broadcasts against ``shape``.
        device: Where the tensor is wanted.

    Raises:
        ValueError: Not whole numbers, wrong shape, or outside the range.
    """
    tensor = _tensor(name, values)
    if tuple(tensor.shape) != shape or tensor.is_floating_point() or tensor.dtype == torch.bool:
        raise ValueError(f"'{name}' must be integers of shape {shape}, not {tensor.dtype} of {tuple(tensor.shape)}")
    tensor = tensor.to(device, torch.int64)
    limits = torch.as_tensor(counts, device=device).expand(shape)
    bad = (tensor < 0) | (tensor >= limits)
    if bad.any():
        where = tuple(torch.nonzero(bad)[0].tolist())
        raise ValueError(
            f"'{name}' must lie in [0, {int(limits[where]) - 1}]; lane {where[0]} has {int(tensor[where])}"
        )
    return tensor


def _tensor(name: str, values: Any) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach()
    try:
        array = np.ascontiguousarray(values)
        return torch.from_numpy(array if array.flags.writeable else array.copy()).reshape(np.shape(values))
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{name}' must be numbers, not {values!r}") from error
