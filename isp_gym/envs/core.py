"""What an environment family defines; :mod:`isp_gym.envs.single` and ``vector`` make the Gymnasium classes from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.transition import Transition
from isp_gym.envs.views import ActionVariant, Native

Observation = Any  # a tensor, or a dict of tensors, with a leading lane axis


@dataclass(frozen=True)
class Step:
    """What one step of all n lanes brought, as fresh tensors: each (n,) or (n, ...)."""

    rewards: Tensor
    terminated: Tensor
    info: dict[str, Tensor]


class Core(ABC):
    """The state of n lanes that step together.

    Every tensor that leaves it is fresh: whoever gets it may keep it and write to it.

    Args:
        transition: Bank, task, reward and scenes.
        num_lanes: n.
        setting: What the transition was made from.
    """

    #: Keyword arguments of this family beyond those of EnvConfig.
    own_options: ClassVar[tuple[str, ...]] = ()
    #: Action-space variants by name, the native one first.
    views: ClassVar[Mapping[str, type[ActionVariant]]]
    single_observation_space: gym.Space

    def __init__(self, transition: Transition, num_lanes: int, setting: EnvConfig) -> None:
        self.transition = transition
        self.setting = setting
        self.num_lanes = num_lanes
        self.indices = torch.zeros(num_lanes, dtype=torch.int64)
        self.scenes: SceneBatch

    def begin(self, lanes: Tensor, indices: Tensor) -> None:
        """Start an episode in some lanes, the first time in all.

        Args:
            lanes: (m,) int64, on the CPU.
            indices: The scene of each of them, (m,) int64, on the CPU.
        """
        self.indices[lanes] = indices
        new = self.transition.scenes.batch(indices)
        self.scenes = new if len(lanes) == self.num_lanes else self.scenes.replace_rows(lanes, new)
        self._restart(lanes.to(self.setting.device), new)

    @abstractmethod
    def _restart(self, lanes: Tensor, scenes: SceneBatch) -> None:
        """Forget the old episodes of ``lanes`` and show the inputs of ``scenes``, one for each of them."""

    @abstractmethod
    def advance(self, actions: Native) -> Step:
        """Take one native action in each lane; they have been checked by the action-space variant.

        Raises:
            BudgetExhausted: The budget does not cover the step; the state is as before.
        """

    @abstractmethod
    def observe(self, lanes: Tensor | slice = slice(None)) -> Observation:
        """What ``lanes``, by default all, see now; finished lanes see their final image."""

    @abstractmethod
    def images(self) -> Tensor:
        """The images of the lanes as they stand, (n, 3, H, W), unclipped; not to be written to."""

    @abstractmethod
    def token_mask(self) -> Tensor:
        """Module tokens that may be chosen, (n, K + 1) bool; (n, 0) in a family without modules."""

    @abstractmethod
    def describe(self, lane: int) -> list[str]:
        """What has been done to the image of a lane, a line a step, in words with physical units."""

    def start_info(self) -> dict[str, Tensor]:
        """What ``reset`` says of each lane."""
        return {"scene": self.indices.clone(), "initial_loss": self.transition.initial_loss(self.scenes)}


def image_space(size: int) -> gym.spaces.Box:
    """Space of one observed image: float32 CHW in [0, 1]."""
    return gym.spaces.Box(0.0, 1.0, (3, size, size), np.float32)
