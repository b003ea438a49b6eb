"""The Gymnasium ``VectorEnv`` round a family: n lanes in one batch."""

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
from isp_gym.envs.core import Core
from isp_gym.envs.episodes import seeds_of
from isp_gym.envs.lanes import Lanes, one_lane, to_output
from isp_gym.envs.render import Frame
from isp_gym.envs.transition import Transition
from isp_gym.envs.views import ActionVariant


class ISPVectorEnv(gym.vector.VectorEnv):
    """Base of the batched environments: n lanes in one batch, reset in the step that ends them (SAME_STEP).

    Args:
        num_envs: n.
        render_mode: ``"rgb_array"`` or ``None``.
        actions: Action view, by default the family's native one (see :mod:`isp_gym.envs.views`).
        bins: Values of a binned parameter, for the views that bin.
        output: ``"numpy"``; or ``"torch"``, and everything handed out is a tensor on the device that nothing else
            refers to, with float32 rewards and ``info["final_obs"]`` as one batch (``"_final_obs"`` says of which
            lanes).
        **options: Fields of :class:`isp_gym.envs.config.EnvConfig` and the family's own options.

    Raises:
        UserError: An option is unknown or wrong.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 (Gymnasium's own form)
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": ["rgb_array"],
        "render_fps": 4,
    }
    core_class: ClassVar[type[Core]]

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
        self._lanes = Lanes(self.core_class, num_envs, actions, bins, output, options)
        self.single_observation_space = self._lanes.core.single_observation_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.single_action_space = self._lanes.view.space
        self.action_space = batch_space(self.single_action_space, num_envs)

    def make_view(self, name: str) -> ActionVariant:
        """Another view of the same actions, for adapters that translate them.

        Raises:
            UserError: The family has no such view.
        """
        return self._lanes.make_view(name)

    @property
    def transition(self) -> Transition:
        """Bank, task, reward and scenes."""
        return self._lanes.transition

    def share_budget(self, budget: Budget) -> None:
        """Count this environment's task evaluations and steps in ``budget``."""
        self.transition.budget = budget

    def action_masks(self) -> Any:
        """Which choices are open in each lane, (n, M) bool; int8 in ``info``, see
        :attr:`isp_gym.envs.views.ActionVariant.mask_name`.
        """
        return self._out(self._lanes.action_masks())

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every lane.

        Args:
            seed: Start the streams of scenes anew: sub-environment i gets ``seed + i``, or ``seed[i]`` of a sequence.
            options: ``{"scene": id or index}`` shows that scene in every sub-environment; ``{"scene": [...]}`` one in
                each, where ``None`` stands for the next of its stream.

        Raises:
            gymnasium.error.Error: A seed is negative.
            UserError: There is no scene of that id, or an option is unknown.
            ValueError: A seed is no whole number, there is no scene of that number, or there is not one for each.
        """
        seeds = None if seed is None else seeds_of(seed, self.num_envs)
        super().reset(seed=None if seeds is None else seeds[0])
        self._lanes.restart(seeds, options, self.np_random)
        everywhere = torch.ones(self.num_envs, dtype=torch.bool)
        return self._observe(), self._out(_masked(self._lanes.start_info(), everywhere))

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Take one action in every lane; a lane that ends shows the first observation of its next episode.

        The last observation and info of lanes that ended are in ``info["final_obs"]`` and ``info["final_info"]``.

        Raises:
            BudgetExhausted: The budget does not cover the step; nothing has changed then.
            gymnasium.error.ResetNeeded: ``reset`` has not been called.
            ValueError: An action is not of the action space; no lane has moved then.
        """
        if not self._lanes.started:
            raise gym.error.ResetNeeded("call reset() before step()")
        step = self._lanes.advance(actions)
        ended = step.terminated
        lanes = torch.nonzero(ended)[:, 0].cpu()
        final: dict[str, Any] = {}
        if len(lanes):
            final = self._final(ended, {**self._lanes.start_info(), **step.info})
            self._lanes.restart_ended(lanes)
        now = self._lanes.start_info()
        of_step = {key: value for key, value in step.info.items() if key not in now}
        info = _masked(now, torch.ones_like(ended)) | _masked(of_step, ~ended)
        rewards = step.rewards if self.output == "torch" else step.rewards.double()
        ends = self._out(ended), self._out(torch.zeros_like(ended))
        return self._observe(), self._out(rewards), *ends, self._out(info) | final

    def _final(self, ended: Tensor, info: dict[str, Tensor]) -> dict[str, Any]:
        if self.output == "torch":
            last = self._observe()
        else:
            lanes = torch.nonzero(ended)[:, 0]
            seen = self._out(self._lanes.core.observe(lanes))
            last = np.full(self.num_envs, None, dtype=object)
            for row, lane in enumerate(lanes.tolist()):
                last[lane] = one_lane(seen, row)
        return {
            "final_obs": last,
            "_final_obs": self._out(ended.clone()),
            "final_info": self._out(_masked(info, ended)),
            "_final_info": self._out(ended.clone()),
        }

    def render(self) -> tuple[Frame, ...] | None:
        """A picture of every lane as in :meth:`ISPEnv.render`, if the render mode is ``"rgb_array"``.

        Raises:
            gymnasium.error.ResetNeeded: ``reset`` has not been called.
        """
        return tuple(map(self._lanes.frame, range(self.num_envs))) if self.render_mode == "rgb_array" else None

    def _observe(self) -> Any:
        return self._out(self._lanes.core.observe())

    def _out(self, value: Any) -> Any:
        return to_output(value, self.output)


def _masked(info: dict[str, Tensor], present: Tensor) -> dict[str, Tensor]:
    """Gymnasium's vector info: each key with ``_key``, the mask of the lanes that have it; the others hold zeros."""
    out: dict[str, Tensor] = {}
    for key, value in info.items():
        mask = present.to(value.device).reshape(-1, *[1] * (value.ndim - 1))
        out[key] = value.where(mask, torch.zeros((), dtype=value.dtype, device=value.device))
        out[f"_{key}"] = present.clone()
    return out
