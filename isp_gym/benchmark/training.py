"""What an agent gets to learn from: the public face of a run."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from isp_gym.budget import Budget
from isp_gym.data import SceneBatch, SceneSet
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.episodes import scene_indices
from isp_gym.envs.transition import Outcome, Transition
from isp_gym.modules import Bank
from isp_gym.pipelines import Pipelines, Rules


class Learner(Protocol):
    """The state of a training besides the policy: optimisers, schedules, positions, buffers (as in torch)."""

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next iteration depends on: tensors, numbers, strings, and containers of them."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        ...


class Recorder(Protocol):
    """What a run does with what an agent tells it, see :class:`isp_gym.benchmark.run_context.Run`."""

    def checkpoint(self, agent: Any, learner: Learner | None) -> None:
        """See :meth:`Training.checkpoint`."""

    def resume(self, learner: Learner) -> bool:
        """See :meth:`Training.resume`."""

    def log(self, numbers: dict[str, float]) -> None:
        """See :meth:`Training.log`."""


class Training:
    """The training scenes, through environments or directly, and a budget of task evaluations.

    Args:
        setting: The problem to learn, over the training split.
        seed: Seed of the run, a whole number in [0, 2**32): of the environments' scenes and, if the agent wants, of
            everything else.
        budget: Shared by all that is made here.
        recorder: Told of checkpoints and numbers; ``None`` where nobody records.

    Attributes:
        setting: As given.
        seed: As given.
        transition: The differentiable core, for learners that need gradients through the pipeline.

    Example:
        >>> training = Training(EnvConfig(image_size=16, num_scenes=2), seed=0, budget=Budget(8))
        >>> env = training.make_vec("ISP/Sequence-v0", num_envs=4)
        >>> _ = env.reset(seed=training.seed)
        >>> _ = env.step(env.action_space.sample())
        >>> training.remaining
        4
    """

    def __init__(self, setting: EnvConfig, seed: int, budget: Budget, recorder: Recorder | None = None) -> None:
        self.setting = setting
        self.seed = seed
        self._budget = budget
        self._recorder = recorder
        self.transition: Transition = setting.make_transition(budget)

    @property
    def budget(self) -> Budget:
        """What has been spent, and what may be."""
        return self._budget

    @property
    def bank(self) -> Bank:
        """The ISP modules."""
        return self.transition.bank

    @property
    def rules(self) -> Rules:
        """What a pipeline may be in this problem."""
        return self.setting.rules

    @property
    def scenes(self) -> SceneSet:
        """The training scenes."""
        return self.transition.scenes

    @property
    def remaining(self) -> int:
        """Task evaluations left."""
        return self._budget.remaining

    def make(self, env_id: str, **options: Any) -> gym.Env:
        """Make an environment with this setting and budget; reset it with ``seed=training.seed``.

        Args:
            env_id: Registered id, such as ``"ISP/Sequence-v0"``.
            **options: Further arguments of ``gymnasium.make``.
        """
        env = gym.make(env_id, **asdict(self.setting), **options)
        env.unwrapped.share_budget(self._budget)  # type: ignore[attr-defined]
        return env

    def make_vec(self, env_id: str, num_envs: int, **options: Any) -> gym.vector.VectorEnv:
        """Make a vector environment with this setting and budget; reset it with ``seed=training.seed``.

        Args:
            env_id: Registered id, such as ``"ISP/Sequence-v0"``.
            num_envs: Sub-environments, which step in one batch.
            **options: Further arguments of ``gymnasium.make_vec``.
        """
        settings = {**asdict(self.setting), **options}
        env = gym.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point", **settings)
        env.unwrapped.share_budget(self._budget)  # type: ignore[attr-defined]
        return env

    def play(self, scenes: SceneBatch, pipelines: Pipelines) -> Outcome:
        """Run pipelines on scenes for the terminal reward, see :meth:`isp_gym.envs.transition.Transition.play`."""
        return self.transition.play(scenes, pipelines)

    def scenes_at(self, sub_environments: Tensor | int, episodes: Tensor | int) -> Tensor:
        """Say which scenes an environment seeded with ``seed`` shows: a pure function, so that a training can go on.

        Args:
            sub_environments: Their numbers, (n,) or one, from 0 on.
            episodes: Their episodes, (n,) or one, from 0 on.

        Returns:
            Indices into :attr:`scenes`, (n,) int64.
        """
        indices, numbers = torch.broadcast_tensors(torch.as_tensor(sub_environments), torch.as_tensor(episodes))
        seeds = (np.uint64(self.seed) + indices.reshape(-1).numpy().astype(np.uint64)).astype(np.uint64)
        return torch.from_numpy(scene_indices(seeds, numbers.reshape(-1).numpy().astype(np.uint64), len(self.scenes)))

    def resume(self, learner: Learner) -> bool:
        """Restore ``learner`` to where an interrupted run ended; call it once, when everything is made.

        The networks of the agent are part of the learner's state. The random numbers of torch, numpy and python go on
        too.

        Returns:
            Whether there was something to resume from.
        """
        return self._recorder is not None and self._recorder.resume(learner)

    def checkpoint(self, agent: Any, learner: Learner | None = None) -> None:
        """Let the run note a point of the learning curve, and save itself, if that is due.

        Call it as often as you like, where an iteration ends.

        Args:
            agent: The agent itself.
            learner: What :meth:`resume` would be given; ``None`` for an agent that cannot be resumed: its run starts
                anew.
        """
        if self._recorder is not None:
            self._recorder.checkpoint(agent, learner)

    def log(self, **numbers: float) -> None:
        """Note numbers at this point of the training, such as losses, in the run's log."""
        if self._recorder is not None:
            self._recorder.log(numbers)
