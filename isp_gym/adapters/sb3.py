"""Stable-Baselines3 on the batched environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from isp_gym.adapters.actions import BoxActions
from isp_gym.envs.base import ISPVectorEnv
from isp_gym.envs.stepwise import StepwiseVectorEnv
from isp_gym.errors import UserError


def to_sb3_vecenv(env: Any) -> VecEnv:
    """Let Stable-Baselines3 train on a batched ISP environment, all lanes in one batch.

    Args:
        env: A vector environment from ``gymnasium.make_vec("ISP/Stepwise-v0", num_envs=n)``.

    Returns:
        A ``VecEnv`` with the same observations and flat ``Box(-1, 1)`` actions (see
        :class:`isp_gym.adapters.actions.BoxActions`). Use ``policy_kwargs={"normalize_images": False}``: images are
        floats in [0, 1] already.

    Raises:
        UserError: ``env`` is not a stepwise ISP vector environment.
    """
    if not isinstance(env.unwrapped, StepwiseVectorEnv):
        raise UserError(f"to_sb3_vecenv takes a stepwise ISP vector environment, not {env.unwrapped}")
    return _SB3VecEnv(env.unwrapped)


class _SB3VecEnv(VecEnv):
    def __init__(self, env: ISPVectorEnv) -> None:
        self.env = env
        self.view = BoxActions(env.transition.bank)
        self._mask: NDArray = np.empty(0)
        self._actions: NDArray = np.empty(0)
        super().__init__(env.num_envs, env.single_observation_space, self.view.space)

    def reset(self) -> Any:
        given = [seed for seed in self._seeds if seed is not None]
        seeds = given if len(given) == self.num_envs else None
        observations, info = self.env.reset(seed=seeds)
        self._reset_seeds()
        self._reset_options()
        self._mask = info["action_mask"]
        return observations

    def step_async(self, actions: NDArray) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        actions = self.view.decode(self._actions, self._mask)
        observations, rewards, terminated, truncated, info = self.env.step(actions)
        self._mask = info["action_mask"]
        infos = [self._lane_info(info, lane) for lane in range(self.num_envs)]
        return observations, rewards.astype(np.float32), terminated | truncated, infos

    def _lane_info(self, info: dict[str, Any], lane: int) -> dict[str, Any]:
        """SB3's info of one lane: that of the step just taken, with ``terminal_observation`` if it ended an episode."""
        ended = "_final_info" in info and info["_final_info"][lane]
        source = info["final_info"] if ended else info
        out = {key: value[lane] for key, value in source.items() if f"_{key}" in source and source[f"_{key}"][lane]}
        out["TimeLimit.truncated"] = False
        if ended:
            out["terminal_observation"] = info["final_obs"][lane]
        return out

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        return [getattr(self.env, method_name)(*args, **kwargs) for _ in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray | None]:
        return [None] * self.num_envs
