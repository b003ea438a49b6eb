"""What an environment family defines; :mod:`isp_gym.envs.base` makes the Gymnasium classes from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.envs.setting import Setting
from isp_gym.envs.transition import Transition

Observation = Any  # a tensor, or a dict of tensors, with a leading lane axis


@dataclass(frozen=True)
class Step:
    """What one step of all n lanes brought: float64, bool and info arrays, each (n,) or (n, ...)."""

    rewards: NDArray[np.float64]
    terminated: NDArray[np.bool_]
    info: dict[str, NDArray]


class Core(ABC):
    """The state of n lanes that step together.

    Args:
        transition: Bank, task, reward and scenes.
        num_lanes: n.
        setting: What the transition was made from.
    """

    #: Keyword arguments of this family beyond those of Setting.
    own_options: ClassVar[tuple[str, ...]] = ()
    single_observation_space: gym.Space
    single_action_space: gym.Space

    def __init__(self, transition: Transition, num_lanes: int, setting: Setting) -> None:
        self.transition = transition
        self.num_lanes = num_lanes
        self.max_length = setting.length
        self.indices = torch.zeros(num_lanes, dtype=torch.int64)
        self.scenes: SceneBatch

    def begin(self, lanes: NDArray[np.int64], indices: NDArray[np.int64]) -> None:
        """Put new scenes into some lanes (the first time into all), each at the start of an episode."""
        self.indices[torch.from_numpy(lanes)] = torch.from_numpy(indices)
        self.scenes = self.transition.scenes.batch(self.indices)

    @abstractmethod
    def advance(self, actions: Any) -> Step:
        """Take one action in each lane.

        Args:
            actions: A batch of ``single_action_space``.

        Raises:
            ValueError: An action is not of that space; the state is as before.
        """

    @abstractmethod
    def observe(self) -> Observation:
        """What each lane sees now, as fresh tensors; finished lanes see their final image."""

    @abstractmethod
    def images(self) -> Tensor:
        """The images of the lanes as they stand, (n, 3, H, W), unclipped."""

    def start_info(self) -> dict[str, NDArray]:
        """What ``reset`` says of each lane."""
        losses = self.transition.initial_loss(self.scenes)
        return {"scene": self.indices.numpy().copy(), "initial_loss": to_numpy(losses)}


def to_numpy(observation: Observation) -> Any:
    """Tensors (or a dict of them) as new numpy arrays."""
    if isinstance(observation, dict):
        return {key: to_numpy(value) for key, value in observation.items()}
    return observation.detach().cpu().numpy().copy()


def image_space(size: int) -> gym.spaces.Box:
    """Space of one observed image: float32 CHW in [0, 1]."""
    return gym.spaces.Box(0.0, 1.0, (3, size, size), np.float32)


def field(actions: Any, name: str) -> Any:
    """One entry of a dict action.

    Raises:
        ValueError: ``actions`` is no dict or has no such entry.
    """
    if not isinstance(actions, Mapping):
        raise ValueError(f"the action must be a dict with '{name}', not {type(actions).__name__}")
    if name not in actions:
        raise ValueError(f"the action has no '{name}'; it has {sorted(actions)}")
    return actions[name]


def check_params(params: Any, num_lanes: int, num_params: int) -> Tensor:
    """Normalised parameters of all lanes as a float32 tensor.

    Raises:
        ValueError: Wrong shape, NaN or infinity, or outside [0, 1].
    """
    try:
        array = np.asarray(params, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"'params' must be numbers: {error}") from error
    if array.shape != (num_lanes, num_params):
        raise ValueError(f"'params' must have shape {(num_lanes, num_params)}, not {array.shape}")
    bad = ~((array >= 0) & (array <= 1))
    if bad.any():
        lane, index = np.argwhere(bad)[0]
        raise ValueError(f"'params' must lie in [0, 1]; lane {lane}, parameter {index} is {array[lane, index]}")
    return torch.from_numpy(array.copy())


def check_tokens(name: str, tokens: Any, shape: tuple[int, ...], end_token: int) -> Tensor:
    """Module tokens as an int64 tensor.

    Raises:
        ValueError: Wrong shape, not whole numbers, or outside [0, end_token].
    """
    array = np.asarray(tokens)
    if array.shape != shape or not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"'{name}' must be integers of shape {shape}, not {array.dtype} of shape {array.shape}")
    bad = (array < 0) | (array > end_token)
    if bad.any():
        raise ValueError(f"'{name}' must lie in [0, {end_token}]; lane {np.argwhere(bad)[0][0]} has {array[bad][0]}")
    return torch.from_numpy(array.astype(np.int64))
