"""Core, episodes and action view together: what the single and the vector environment share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isp_gym.envs.core import Core, Step
from isp_gym.envs.episodes import Episodes
from isp_gym.envs.render import Frame, draw
from isp_gym.envs.setting import Setting
from isp_gym.envs.views import ActionView
from isp_gym.errors import UserError, unknown

OUTPUTS = ("numpy", "torch")


class Lanes:
    """n lanes of one family.

    Args:
        core_class: The family.
        num_lanes: n.
        actions: Name of the action view; ``None`` for the native one.
        bins: Values of a binned parameter, for the views that bin.
        output: ``"numpy"``, or ``"torch"`` for tensors on the device.
        options: Fields of :class:`isp_gym.envs.setting.Setting` and the family's own options.

    Raises:
        UserError: An option is unknown or wrong.
    """

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
        setting = Setting.of({key: value for key, value in options.items() if key not in own})
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

    def make_view(self, name: str | None) -> ActionView:
        """An action view of the family, by default the native one.

        Raises:
            UserError: The family has no such view.
        """
        views = self._core_class.views
        chosen = next(iter(views)) if name is None else name
        if chosen not in views:
            raise unknown("action view", chosen, views)
        return views[chosen](self._setting.make_bank(), self._setting, self._bins)

    def seed(self, seeds: Iterable[int]) -> None:
        """Start the stream of scenes of every lane anew."""
        self.episodes.seed(np.array([int(seed) % 2**64 for seed in seeds], np.uint64))

    def begin(self, lanes: Tensor, options: Mapping[str, Any] | None) -> None:
        """Start an episode in ``lanes``, on the scene that ``options`` names or the next one.

        Raises:
            ValueError: ``options["scene"]`` is a number outside the set.
            UserError: It is an id of no scene of the set, or there is another key.
        """
        forced = self._forced(options or {})
        indices = self.episodes.next(lanes.numpy(), len(self.transition.scenes))
        if forced is not None:
            indices[:] = forced
        self.core.begin(lanes, torch.from_numpy(indices))
        self.rewards[lanes] = 0
        self.returns[lanes] = 0

    def _forced(self, options: Mapping[str, Any]) -> int | None:
        for key in options:
            if key != "scene":
                raise unknown("reset option", key, ["scene"])
        scenes, scene = self.transition.scenes, options.get("scene")
        if scene is None or isinstance(scene, str):
            return None if scene is None else scenes.index(scene)
        if not 0 <= scene < len(scenes):
            raise ValueError(f"options['scene'] must lie in [0, {len(scenes)}), not {scene}")
        return int(scene)

    def advance(self, actions: Any) -> Step:
        """Decode and take one action in every lane; what can go wrong goes wrong before anything has changed."""
        step = self.core.advance(self.view.decode(actions, self.core.token_mask()))
        self.rewards = step.rewards.cpu().clone()  # the step hands its own tensor out
        self.returns = self.returns + self.rewards
        return step

    def action_masks(self) -> Tensor:
        """Which choices are open, (n, M) bool; see :meth:`isp_gym.envs.views.ActionView.mask`."""
        return self.view.mask(self.core.token_mask())

    def start_info(self) -> dict[str, Tensor]:
        """What ``reset`` says of each lane."""
        info = self.core.start_info()
        mask = self.core.token_mask()
        return {**info, "action_mask": self.view.mask(mask).to(torch.int8)} if mask.shape[1] else info

    def frame(self, lane: int) -> Frame:
        """A picture of one lane, uint8 HWC."""
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
