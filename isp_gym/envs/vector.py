"""The Gymnasium ``VectorEnv`` round a family: n sub-environments in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from torch import Tensor

from isp_gym.budget import Budget
from isp_gym.envs.actions import ActionVariant
from isp_gym.envs.episodes import seeds_of
from isp_gym.envs.family import Family, row_of
from isp_gym.envs.render import Frame
from isp_gym.envs.transition import Transition


class ISPVectorEnv(gym.vector.VectorEnv):
    """Base of the batched environments: n sub-environments in one batch, reset in the step that ends them (SAME_STEP).

    Args:
        num_envs: n.
        render_mode: ``"rgb_array"`` or ``None``.
        actions: Action-space variant, by default the family's native one (see :mod:`isp_gym.envs.actions`).
        bins: Values of a binned parameter, for the variants that bin.
        output: ``"numpy"``; or ``"torch"``, and everything handed out is a tensor on the device that nothing else
            refers to, with float32 rewards and ``info["final_obs"]`` as one batch (``"_final_obs"`` says of which
            sub-environments).
        **options: Fields of :class:`isp_gym.envs.config.EnvConfig` and the family's own options.

    Raises:
        UserError: An option is unknown or wrong.

    Example:
        >>> import gymnasium as gym
        >>> import isp_gym
        >>> options = {"vectorization_mode": "vector_entry_point", "image_size": 32, "num_scenes": 4}
        >>> envs = gym.make_vec("ISP/SequenceBox-v0", num_envs=3, **options)
        >>> observations, infos = envs.reset(seed=0)
        >>> observations.shape
        (3, 3, 32, 32)
        >>> observations, rewards, terminated, truncated, infos = envs.step(envs.action_space.sample())
        >>> rewards.shape, terminated.tolist(), infos["final_obs"][0].shape
        ((3,), [True, True, True], (3, 32, 32))
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium's own form)
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": ["rgb_array"],
        "render_fps": 4,
    }
    family_class: ClassVar[type[Family]]

    def __init__(
        self,
        num_envs: int = 1,
        *,
        render_mode: str | None = None,
        actions: str | None = None,
        bins: int = 5,
        output: str = "numpy",
        **options: Any,
    ) -> None:
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.output = output
        self._family = self.family_class.make(num_envs, actions, bins, output, options)
        self.single_observation_space = self._family.single_observation_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.single_action_space = self._family.variant.space
        self.action_space = batch_space(self.single_action_space, num_envs)

    def make_variant(self, name: str) -> ActionVariant:
        """Make another variant of the same action space, for adapters that translate its actions.

        Raises:
            UserError: The family has no such variant.
        """
        return self._family.make_variant(name)

    @property
    def transition(self) -> Transition:
        """Return bank, task, reward and scenes."""
        return self._family.transition

    def share_budget(self, budget: Budget) -> None:
        """Count this environment's task evaluations and steps in ``budget``."""
        self.transition.budget = budget

    def action_masks(self) -> Any:
        """Return which choices are open in each sub-environment, (n, M) bool; int8 in ``info``, see
        :attr:`isp_gym.envs.actions.ActionVariant.mask_name`.
        """
        return self._out(self._family.action_masks())

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every sub-environment.

        Args:
            seed: Start the streams of scenes anew: sub-environment i gets ``seed + i``, or ``seed[i]`` of a sequence.
            options: ``{"scene": id or index}`` shows that scene in every sub-environment; ``{"scene": [...]}`` one in
                each, where ``None`` stands for the next of its stream.

        Raises:
            gymnasium.error.Error: A seed is negative.
            UserError: There is no scene of that id, or an option is unknown.
            ValueError: A seed is no integer, there is no scene of that number, or there is not one for each.
        """
        seeds = None if seed is None else seeds_of(seed, self.num_envs)
        super().reset(seed=None if seeds is None else seeds[0])
        self._family.reset(seeds, options, self.np_random)
        everywhere = torch.ones(self.num_envs, dtype=torch.bool)
        return self._observe(), self._out(_masked(self._family.info(), everywhere))

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take one action in each sub-environment; one that ends shows the first observation of its next episode.

        The last observation and info of those that ended are in ``info["final_obs"]`` and ``info["final_info"]``.

        Raises:
            BudgetExhausted: The budget does not cover the step; nothing has changed then.
            gymnasium.error.ResetNeeded: ``reset`` has not been called.
            ValueError: An action is not of the action space; nothing has moved then.
        """
        if not self._family.started:
            raise gym.error.ResetNeeded("call reset() before step()")
        step = self._family.step(actions)
        ended = step.terminated
        rows = torch.nonzero(ended)[:, 0].cpu()
        final: dict[str, Any] = {}
        if len(rows):
            final = self._final(ended, {**self._family.info(), **step.info})
            self._family.reset_ended(rows)
        now = self._family.info()
        of_step = {key: value for key, value in step.info.items() if key not in now}
        info = _masked(now, torch.ones_like(ended)) | _masked(of_step, ~ended)
        rewards = step.rewards if self.output == "torch" else step.rewards.double()
        ends = self._out(ended), self._out(torch.zeros_like(ended))
        return self._observe(), self._out(rewards), *ends, self._out(info) | final

    def _final(self, ended: Tensor, info: dict[str, Tensor]) -> dict[str, Any]:
        if self.output == "torch":
            last = self._observe()
        else:
            rows = torch.nonzero(ended)[:, 0]
            seen = self._out(self._family.observe(rows))
            last = np.full(self.num_envs, None, dtype=object)
            for k, i in enumerate(rows.tolist()):
                last[i] = row_of(seen, k)
        return {
            "final_obs": last,
            "_final_obs": self._out(ended.clone()),
            "final_info": self._out(_masked(info, ended)),
            "_final_info": self._out(ended.clone()),
        }

    def render(self) -> tuple[Frame, ...] | None:
        """Draw every sub-environment as in :meth:`ISPEnv.render`, if the render mode is ``"rgb_array"``.

        Raises:
            gymnasium.error.ResetNeeded: ``reset`` has not been called.
        """
        return tuple(map(self._family.frame, range(self.num_envs))) if self.render_mode == "rgb_array" else None

    def _observe(self) -> Any:
        return self._out(self._family.observe())

    def _out(self, value: Any) -> Any:
        return self._family.out(value)


def _masked(info: dict[str, Tensor], present: Tensor) -> dict[str, Tensor]:
    """Gymnasium's vector info: each key with ``_key``, the mask of those that have it; the others hold zeros."""
    out: dict[str, Tensor] = {}
    for key, value in info.items():
        mask = present.to(value.device).reshape(-1, *[1] * (value.ndim - 1))
        out[key] = value.where(mask, torch.zeros((), dtype=value.dtype, device=value.device))
        out[f"_{key}"] = present.clone()
    return out
