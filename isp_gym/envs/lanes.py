"""Core, episodes and action-space variant together: what the single and the vector environment share."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from isp_gym.envs.config import EnvConfig
from isp_gym.envs.core import Core, Step
from isp_gym.envs.episodes import Episodes, seeds_of
from isp_gym.envs.render import Frame, draw
from isp_gym.envs.views import ActionVariant
from isp_gym.errors import UserError, unknown

OUTPUTS = ("numpy", "torch")


class Lanes:
    """n lanes of one family.

    Args:
        core_class: The family.
        num_lanes: n.
        actions: Name of the action-space variant; ``None`` for the native one.
        bins: Values of a binned parameter, for the views that bin.
        output: ``"numpy"``, or ``"torch"`` for tensors on the device.
        options: Fields of :class:`isp_gym.envs.config.EnvConfig` and the family's own options.

    Attributes:
        started: Whether there has been a reset.

    Raises:
        UserError: An option is unknown or wrong.
    """

    @torch.inference_mode(False)
    def __init__(
        self,
        core_class: type[Core],
        num_lanes: int,
        actions: str | None,
        bins: int,
        output: str,
        options: Mapping[str, Any],
    ) -> None:
        if num_lanes < 1:
            raise UserError(f"num_envs must be at least 1, not {num_lanes}")
        if output not in OUTPUTS:
            raise unknown("output", output, OUTPUTS)
        own = {key: options[key] for key in core_class.own_options if key in options}
        setting = EnvConfig.of({key: value for key, value in options.items() if key not in own})
        self._bins = bins
        self._setting = setting
        self._core_class = core_class
        self.view = self.make_view(actions)
        self.transition = setting.make_transition()
        self.core = core_class(self.transition, num_lanes, setting, **own)
        self.episodes = Episodes(num_lanes)
        self.all = torch.arange(num_lanes)
        self.rewards = torch.zeros(num_lanes)
        self.returns = torch.zeros(num_lanes)
        self.started = False
        self._seeded = False

    def make_view(self, name: str | None) -> ActionVariant:
        """An action-space variant of the family, by default the native one.

        Raises:
            UserError: The family has no such view.
        """
        views = self._core_class.views
        chosen = next(iter(views)) if name is None else name
        if chosen not in views:
            raise unknown("action-space variant", chosen, views)
        return views[chosen](self._setting.rules.bank, self._setting, self._bins)

    def restart(
        self, seeds: Sequence[int] | None, options: Mapping[str, Any] | None, random: np.random.Generator
    ) -> None:
        """Start an episode in all lanes.

        Args:
            seeds: Start the stream of scenes of every lane anew from its seed; ``None`` to go on with it.
            options: ``{"scene": id or index}``, or ``{"scene": [...]}`` with one for each lane, where ``None`` stands
                for the next scene of its stream.
            random: Draws the seeds if there have never been any.

        Raises:
            ValueError: ``options["scene"]`` is a number outside the set, or there is not one for each lane.
            UserError: It is an id of no scene of the set, or there is another key.
        """
        forced = self._forced(options or {})
        if seeds is None and not self._seeded:
            seeds = seeds_of(int(random.integers(2**63)), len(self.all))
        if seeds is not None:
            self.episodes.seed(seeds)
            self._seeded = True
        self._begin(self.all, forced)
        self.started = True

    def restart_ended(self, ended: Tensor) -> None:
        """Start the next episode in the lanes ``ended``, (m,) int64 on the CPU."""
        self._begin(ended, {})

    @torch.inference_mode(False)  # whose tensors could not be written to outside it
    @torch.no_grad()
    def _begin(self, lanes: Tensor, forced: Mapping[int, int]) -> None:
        indices = self.episodes.next(lanes.numpy(), len(self.transition.scenes))
        for lane, scene in forced.items():
            indices[lane] = scene
        self.core.begin(lanes, torch.from_numpy(indices))
        self.rewards[lanes] = 0
        self.returns[lanes] = 0

    def _forced(self, options: Mapping[str, Any]) -> dict[int, int]:
        """The scenes that ``options`` name, by lane."""
        for key in options:
            if key != "scene":
                raise unknown("reset option", key, ["scene"])
        scene, count = options.get("scene"), len(self.all)
        asked = list(scene) if isinstance(scene, (list, tuple, np.ndarray)) and np.ndim(scene) else [scene] * count
        if len(asked) != count:
            raise ValueError(f"options['scene'] names {len(asked)} scenes for {count} environments")
        return {lane: self._scene(one) for lane, one in enumerate(asked) if one is not None}

    def _scene(self, scene: Any) -> int:
        scenes = self.transition.scenes
        if isinstance(scene, str):
            return scenes.index(scene)
        try:
            index = operator.index(scene)
        except TypeError:
            raise ValueError(f"options['scene'] must be an id or a whole number, not {scene!r}") from None
        if not 0 <= index < len(scenes):
            raise ValueError(f"options['scene'] must lie in [0, {len(scenes)}), not {index}")
        return index

    @torch.inference_mode(False)
    @torch.no_grad()
    def advance(self, actions: Any) -> Step:
        """Decode and take one action in every lane; what can go wrong goes wrong before anything has changed.

        Raises:
            BudgetExhausted: The budget does not cover the steps, or the evaluations that they need.
            ValueError: An action is not of the action space.
        """
        native, budget, count = self.view.decode(actions, self.core.token_mask()), self.transition.budget, len(self.all)
        budget.require(steps=count)
        step = self.core.advance(native)
        budget.step(count)
        self.rewards = step.rewards.cpu().clone()  # the step hands its own tensor out
        self.returns = self.returns + self.rewards
        return step

    def action_masks(self) -> Tensor:
        """Which choices are open, (n, M) bool; see :meth:`isp_gym.envs.views.ActionVariant.mask`."""
        return self.view.mask(self.core.token_mask())

    def start_info(self) -> dict[str, Tensor]:
        """What ``reset`` says of each lane."""
        info = self.core.start_info()
        mask = self.core.token_mask()
        return {**info, self.view.mask_name: self.view.mask(mask).to(torch.int8)} if mask.shape[1] else info

    def frame(self, lane: int) -> Frame:
        """A picture of one lane, uint8 HWC.

        Raises:
            gymnasium.error.ResetNeeded: No episode has begun.
        """
        if not self.started:
            raise gym.error.ResetNeeded("call reset() before render()")
        core = self.core
        scene = core.scenes.ids[lane]
        heading = f"{scene}   reward {self.rewards[lane]:+.4f}   return {self.returns[lane]:+.4f}"
        images = [core.scenes.images[lane], core.images()[lane]]
        if core.scenes.targets is not None:
            images.append(core.scenes.targets[lane])
        return draw(images, heading, core.describe(lane))


def to_output(value: Any, output: str) -> Any:
    """Fresh tensors (or dicts of them) as the environment hands them out; nothing is copied on one device."""
    if isinstance(value, dict):
        return {key: to_output(item, output) for key, item in value.items()}
    return value.cpu().numpy() if output == "numpy" else value


def one_lane(value: Any, lane: int) -> Any:
    """What a batch of observations says of one lane."""
    if isinstance(value, dict):
        return {key: one_lane(item, lane) for key, item in value.items()}
    return value[lane]
