"""What an agent gets to learn from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from isp_gym.budget import Budget
from isp_gym.data import SceneSet
from isp_gym.envs.episodes import scene_indices
from isp_gym.envs.setting import Setting
from isp_gym.envs.transition import Transition
from isp_gym.modules import Bank


class Training:
    """The training scenes, through environments or directly, and a budget of task evaluations.

    Args:
        setting: The setting to learn in, over the training split.
        seed: Seed of the run: of the environments' scenes and, if the agent wants, of everything else.
        budget: Shared by all that is made here.
        on_checkpoint: Called by :meth:`checkpoint` with the agent.

    Attributes:
        setting: As given.
        seed: As given.
        budget: As given.
        transition: The differentiable core, for learners that need gradients through the pipeline.
    """

    def __init__(
        self,
        setting: Setting,
        seed: int,
        budget: Budget,
        on_checkpoint: Callable[[Any], None] = lambda agent: None,
    ) -> None:
        self.setting = setting
        self.seed = seed
        self.budget = budget
        self.transition: Transition = setting.make_transition(budget)
        self._on_checkpoint = on_checkpoint

    @property
    def bank(self) -> Bank:
        """The ISP modules."""
        return self.transition.bank

    @property
    def scenes(self) -> SceneSet:
        """The training scenes."""
        return self.transition.scenes

    @property
    def remaining(self) -> int:
        """Task evaluations left."""
        return self.budget.remaining

    def make(self, env_id: str, **options: Any) -> gym.Env:
        """``gymnasium.make`` with this setting and budget; reset it with ``seed=training.seed``."""
        env = gym.make(env_id, **self._env_options(), **options)
        env.unwrapped.share_budget(self.budget)  # type: ignore[attr-defined]
        return env

    def make_vec(self, env_id: str, num_envs: int, **options: Any) -> gym.vector.VectorEnv:
        """``gymnasium.make_vec`` with this setting and budget; reset it with ``seed=training.seed``."""
        env = gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", **self._env_options(), **options)
        env.unwrapped.share_budget(self.budget)  # type: ignore[attr-defined]
        return env

    def _env_options(self) -> dict[str, Any]:
        return asdict(self.setting)

    def scene_stream(self, lanes: int) -> Iterator[Tensor]:
        """The scenes that ``lanes`` environments seeded with ``seed`` would show, episode after episode.

        Yields:
            Indices into :attr:`scenes`, (lanes,) int64.
        """
        seeds = np.arange(self.seed, self.seed + lanes).astype(np.uint64)
        episode = 0
        while True:
            yield torch.from_numpy(scene_indices(seeds, np.full(lanes, episode, np.uint64), len(self.scenes)))
            episode += 1

    def checkpoint(self, agent: Any) -> None:
        """Let the benchmark note a point of the learning curve, if one is due; call it as often as you like."""
        self._on_checkpoint(agent)
