"""Action-space variants: one environment for learners of Dict, Box, MultiDiscrete and Discrete actions.

A variant owns an action space and turns its actions into the native ones of the family, which are checked tensors on
the environment's device. What is wrong with an action is one ``ValueError``, raised before anything has changed. A new
variant is a class beside its family and a line in the family's ``variants``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.modules import Bank

Native = dict[str, Tensor]


class ActionVariant(ABC):
    """One way to write the actions of a family.

    Args:
        bank: The ISP modules, K of them with P parameters.
        config: Longest pipeline, image size and device.
        bins: How many values a binned parameter can take, evenly from end to end of its range.
    """

    #: What ``info`` calls :meth:`mask`: ``"module_mask"`` where the actions hold no module token to lay it over.
    mask_name: ClassVar[str] = "action_mask"
    space: gym.Space
    shape: tuple[int, ...]  # of one action, where it is a single array

    def __init__(self, bank: Bank, config: EnvConfig, bins: int) -> None:
        if bins < 2:
            raise UserError(f"bins must be at least 2, not {bins}")
        self.bank = bank
        self.length = config.length
        self.device = torch.device(config.device)
        self.bins = bins

    @abstractmethod
    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """Decode a batch of actions to native ones.

        Args:
            actions: A batch of ``space``, numpy or torch.
            token_mask: Module tokens that may be chosen (first, where an action names several), (n, K + 1) bool.

        Raises:
            ValueError: An action is not of ``space``.
        """

    def mask(self, token_mask: Tensor) -> Tensor:
        """Return which choices are open, (n, M) bool: module tokens; what MaskablePPO wants in discrete variants."""
        return token_mask

    def _binned(self, bins: Tensor) -> Tensor:
        return bins.to(torch.float32) / (self.bins - 1)


def entry(actions: Any, name: str) -> Any:
    """Return one entry of a dict action.

    Raises:
        ValueError: ``actions`` is no dict or has no such entry.
    """
    if not isinstance(actions, Mapping):
        raise ValueError(f"the action must be a dict with '{name}', not {type(actions).__name__}")
    if name not in actions:
        raise ValueError(f"the action has no '{name}'; it has {sorted(actions)}")
    return actions[name]


def check_box(name: str, values: Any, shape: tuple[int, ...], low: float, device: torch.device) -> Tensor:
    """Return numbers in [low, 1] as a float32 tensor; the caller must not write to it.

    Args:
        name: What to call them in an error.
        values: Array or tensor.
        shape: The shape that they must have, sub-environments first.
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
        raise ValueError(
            f"'{name}' must lie in [{low:g}, 1]; sub-environment {where[0]}, entry {where[1:]} is {value:g}"
        )
    return tensor


def check_integers(name: str, values: Any, shape: tuple[int, ...], counts: Any, device: torch.device) -> Tensor:
    """Return integers, entry i in [0, counts[i]), as an int64 tensor; the caller must not write to it.

    Args:
        name: What to call them in an error.
        values: Array or tensor.
        shape: The shape that they must have, sub-environments first.
        counts: How many values each entry can take; broadcasts against ``shape``.
        device: Where the tensor is wanted.

    Raises:
        ValueError: Not integers, wrong shape, or outside the range.
    """
    tensor = _tensor(name, values)
    if tuple(tensor.shape) != shape or tensor.is_floating_point() or tensor.dtype == torch.bool:
        raise ValueError(f"'{name}' must be integers of shape {shape}, not {tensor.dtype} of {tuple(tensor.shape)}")
    tensor = tensor.to(device, torch.int64)
    limits = torch.as_tensor(counts, device=device).expand(shape)
    bad = (tensor < 0) | (tensor >= limits)
    if bad.any():
        where = tuple(torch.nonzero(bad)[0].tolist())
        limit, value = int(limits[where]), int(tensor[where])
        raise ValueError(f"'{name}' must lie in [0, {limit - 1}]; sub-environment {where[0]} has {value}")
    return tensor


def _tensor(name: str, values: Any) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach()
    try:
        array = np.ascontiguousarray(values)
        return torch.from_numpy(array if array.flags.writeable else array.copy()).reshape(np.shape(values))
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{name}' must be numbers, not {values!r}") from error
