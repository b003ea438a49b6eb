"""Stable-Baselines3 on the batched environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from isp_gym.envs.vector import ISPVectorEnv
from isp_gym.errors import UserError


def to_sb3_vecenv(env: Any) -> VecEnv:
    """Let Stable-Baselines3 train on a batched ISP environment, all sub-environments in one batch.

    Args:
        env: A vector environment from ``gymnasium.make_vec("ISP/StepwiseBox-v0", num_envs=n)`` or any other ``ISP`` id.
            Stable-Baselines3 takes no dict actions: for one that has them the actions of this ``VecEnv`` are those of
            the family's ``box`` variant.

    Returns:
        A ``VecEnv`` over ``env``. Images are floats in [0, 1] already: for a CNN policy use
        ``policy_kwargs={"normalize_images": False}``. ``action_masks`` works for sb3-contrib's MaskablePPO.

    Raises:
        UserError: ``env`` is no ISP vector environment, is wrapped, or hands out tensors.

    Example:
        >>> import gymnasium as gym
        >>> import isp_gym
        >>> from stable_baselines3 import PPO
        >>> options = {"vectorization_mode": "vector_entry_point", "image_size": 16, "num_scenes": 4}
        >>> env = to_sb3_vecenv(gym.make_vec("ISP/StepwiseBox-v0", num_envs=4, **options))
        >>> model = PPO("MultiInputPolicy", env, n_steps=8, batch_size=16, device="cpu").learn(32)
        >>> model.num_timesteps
        32
    """
    vector = getattr(env, "unwrapped", env)
    if not isinstance(vector, ISPVectorEnv):
        raise UserError(f"to_sb3_vecenv takes an ISP vector environment from gymnasium.make_vec, not {vector}")
    if env is not vector:
        raise UserError(
            f"to_sb3_vecenv takes the environment itself, not one wrapped in {type(env).__name__}: "
            "put Stable-Baselines3's own wrappers (VecNormalize, VecMonitor, ...) round what it returns"
        )
    if vector.output != "numpy":
        raise UserError("Stable-Baselines3 takes numpy arrays: make the environment with output='numpy'")
    return _SB3VecEnv(vector)


class _SB3VecEnv(VecEnv):
    def __init__(self, env: ISPVectorEnv) -> None:
        self.env = env
        self.render_mode = env.render_mode
        self._actions: NDArray = np.empty(0)
        native = isinstance(env.single_action_space, gym.spaces.Dict)
        self._variant = env.make_variant("box") if native else None
        space = env.single_action_space if self._variant is None else self._variant.space
        super().__init__(env.num_envs, env.single_observation_space, space)

    def reset(self) -> Any:
        seeds: Any = None if all(seed is None for seed in self._seeds) else self._seeds
        observations, info = self.env.reset(seed=seeds, options=_together(self._options))
        self.reset_infos = [self._info_of(info, i) for i in range(self.num_envs)]
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: NDArray) -> None:
        self._actions = actions

    def step_wait(self) -> Any:
        actions: Any = self._actions
        if self._variant is not None:
            actions = self._variant.decode(actions, torch.from_numpy(self.env.action_masks()))
        observations, rewards, terminated, truncated, info = self.env.step(actions)
        infos = [self._step_info(info, i) for i in range(self.num_envs)]
        return observations, rewards.astype(np.float32), terminated | truncated, infos

    def _step_info(self, info: dict[str, Any], i: int) -> dict[str, Any]:
        """SB3's info of sub-environment i: that of the step taken, ``terminal_observation`` with it if it ended."""
        ended = "_final_info" in info and info["_final_info"][i]
        out = self._info_of(info["final_info"] if ended else info, i)
        out["TimeLimit.truncated"] = False
        if ended:
            out["terminal_observation"] = info["final_obs"][i]
        return out

    def _info_of(self, info: dict[str, Any], i: int) -> dict[str, Any]:
        return {key: value[i] for key, value in info.items() if f"_{key}" in info and info[f"_{key}"][i]}

    def close(self) -> None:
        self.env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self.env, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        setattr(self.env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        chosen = list(self._get_indices(indices))
        if method_name == "action_masks":
            masks = self.env.action_masks()
            return [masks[i] for i in chosen]
        return [getattr(self.env, method_name)(*args, **kwargs) for _ in chosen]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray | None]:
        return self.env.render() or [None] * self.num_envs


def _together(options: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The options of every sub-environment as one dict of lists; ``None`` where one has no such option."""
    names = dict.fromkeys(name for one in options for name in one)
    return {name: [one.get(name) for one in options] for name in names}
