"""The Gymnasium classes round a :class:`~isp_gym.envs.core.Core`: ``Env`` is the batch of one, ``VectorEnv`` of n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from isp_gym.budget import Budget
from isp_gym.envs.core import Core, to_numpy
from isp_gym.envs.episodes import Episodes
from isp_gym.envs.render import panel
from isp_gym.envs.setting import Setting
from isp_gym.envs.transition import Transition


class _Lanes:
    """Core and episodes together: what both Gymnasium classes keep."""

    def __init__(self, core_class: type[Core], num_lanes: int, options: Mapping[str, Any]) -> None:
        core_options = {key: options[key] for key in core_class.own_options if key in options}
        self.setting = Setting.of({key: value for key, value in options.items() if key not in core_options})
        self.transition = self.setting.make_transition()
        self.core = core_class(self.transition, num_lanes, self.setting, **core_options)
        self.episodes = Episodes(num_lanes)
        self.all = np.arange(num_lanes)

    def seed(self, seeds: Sequence[int]) -> None:
        self.episodes.seed(np.array([seed % 2**64 for seed in seeds], np.uint64))

    def begin(self, lanes: NDArray[np.int64], options: Mapping[str, Any] | None) -> None:
        indices = self.episodes.next(lanes, len(self.transition.scenes))
        if options and "scene" in options:
            indices[:] = self._index(options["scene"])
        self.core.begin(lanes, indices)

    def _index(self, scene: int | str) -> int:
        scenes = self.transition.scenes
        if isinstance(scene, str):
            return scenes.index(scene)
        if not 0 <= scene < len(scenes):
            raise ValueError(f"options['scene'] must lie in [0, {len(scenes)}), not {scene}")
        return int(scene)


class ISPEnv(gym.Env):
    """Base of the single environments; see the family's class for its spaces and reward."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's own form)
    core_class: ClassVar[type[Core]]

    def __init__(self, *, render_mode: str | None = None, **options: Any) -> None:
        self.render_mode = render_mode
        self._lanes = _Lanes(self.core_class, 1, options)
        self.observation_space = self._lanes.core.single_observation_space
        self.action_space = self._lanes.core.single_action_space
        self._running = False

    @property
    def transition(self) -> Transition:
        """Bank, task, reward and scenes."""
        return self._lanes.transition

    def share_budget(self, budget: Budget) -> None:
        """Count this environment's task evaluations in ``budget``."""
        self.transition.budget = budget

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin the next episode.

        Args:
            seed: Start the stream of scenes anew from this seed.
            options: ``{"scene": id or index}`` shows that scene.
        """
        fresh = self._np_random is None
        super().reset(seed=seed)
        if seed is not None or fresh:
            self._lanes.seed([seed if seed is not None else int(self.np_random.integers(2**63))])
        self._lanes.begin(self._lanes.all, options)
        self._running = True
        return _lane(to_numpy(self._lanes.core.observe()), 0), _first(self._lanes.core.start_info())

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            gymnasium.error.ResetNeeded: The episode has not begun or is over.
            ValueError: The action is not of the action space.
        """
        if not self._running:
            raise gym.error.ResetNeeded("call reset() before step(): the episode has not begun or is over")
        core = self._lanes.core
        before = core.start_info()
        step = core.advance(_batch_of_one(action))
        terminated = bool(step.terminated[0])
        self._running = not terminated
        info = _first({**before, **step.info})
        return _lane(to_numpy(core.observe()), 0), float(step.rewards[0]), terminated, False, info

    def render(self) -> NDArray[np.uint8] | None:
        """Input, current image and target side by side, uint8 HWC."""
        if self.render_mode is None:
            return None
        scenes = self._lanes.core.scenes
        return panel(scenes.images[0], self._lanes.core.images()[0], scenes.targets[0])


def _first(info: dict[str, NDArray]) -> dict[str, Any]:
    return {key: value[0].copy() if value.ndim > 1 else value[0].item() for key, value in info.items()}


def _batch_of_one(action: Any) -> Any:
    if isinstance(action, Mapping):
        return {key: np.asarray(value)[None] for key, value in action.items()}
    return np.asarray(action)[None]


class ISPVectorEnv(gym.vector.VectorEnv):
    """Base of the batched environments: n lanes in one batch, reset in the step that ends them (SAME_STEP)."""

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012
    core_class: ClassVar[type[Core]]

    def __init__(self, num_envs: int = 1, *, render_mode: str | None = None, **options: Any) -> None:
        self.num_envs = num_envs
        self.render_mode = render_mode
        self._lanes = _Lanes(self.core_class, num_envs, options)
        self.single_observation_space = self._lanes.core.single_observation_space
        self.single_action_space = self._lanes.core.single_action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._running = False

    @property
    def transition(self) -> Transition:
        """Bank, task, reward and scenes."""
        return self._lanes.transition

    def share_budget(self, budget: Budget) -> None:
        """Count this environment's task evaluations in ``budget``."""
        self.transition.budget = budget

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Begin an episode in every lane.

        Args:
            seed: Start the streams of scenes anew: lane i gets ``seed + i``, or ``seed[i]`` of a sequence.
            options: ``{"scene": id or index}`` shows that scene in every lane.
        """
        seeds = self._seeds(seed)
        if seeds is not None:
            self._lanes.seed(seeds)
        self._lanes.begin(self._lanes.all, options)
        self._running = True
        return to_numpy(self._lanes.core.observe()), self._lanes.core.start_info()

    def _seeds(self, seed: int | Sequence[int] | None) -> Sequence[int] | None:
        fresh = self._np_random is None
        if isinstance(seed, Sequence):
            if len(seed) != self.num_envs:
                raise ValueError(f"{len(seed)} seeds for {self.num_envs} environments")
            super().reset(seed=seed[0])
            return seed
        super().reset(seed=seed)
        if seed is None:
            if not fresh:
                return None
            seed = int(self.np_random.integers(2**63))
        return range(seed, seed + self.num_envs)

    def step(self, actions: Any) -> tuple[Any, NDArray, NDArray, NDArray, dict[str, Any]]:
        """Take one action in every lane; a lane that ends shows the first observation of its next episode.

        The last observation and info of lanes that ended are in ``info["final_obs"]`` and ``info["final_info"]``.

        Raises:
            gymnasium.error.ResetNeeded: ``reset`` has not been called.
            ValueError: An action is not of the action space; no lane has moved then.
        """
        if not self._running:
            raise gym.error.ResetNeeded("call reset() before step()")
        core = self._lanes.core
        before = core.start_info()
        step = core.advance(actions)
        step_info = {**before, **step.info}
        ended = np.flatnonzero(step.terminated)
        final: dict[str, Any] = {}
        if len(ended):
            final = self._final(step.terminated, to_numpy(core.observe()), step_info)
            self._lanes.begin(ended, None)
        now = core.start_info()
        of_step = {key: value for key, value in step.info.items() if key not in now}
        info = _masked(now, np.ones(self.num_envs, bool)) | _masked(of_step, ~step.terminated) | final
        return to_numpy(core.observe()), step.rewards, step.terminated, np.zeros(self.num_envs, bool), info

    def _final(self, ended: NDArray[np.bool_], observations: Any, info: dict[str, NDArray]) -> dict[str, Any]:
        last = np.full(self.num_envs, None, dtype=object)
        for lane in np.flatnonzero(ended):
            last[lane] = _lane(observations, int(lane))
        return {
            "final_obs": last,
            "_final_obs": ended.copy(),
            "final_info": _masked(info, ended),
            "_final_info": ended.copy(),
        }


def _lane(observations: Any, lane: int) -> Any:
    if isinstance(observations, dict):
        return {key: _lane(value, lane) for key, value in observations.items()}
    return observations[lane].copy() if observations.ndim > 1 else observations[lane]


def _masked(info: dict[str, NDArray], present: NDArray[np.bool_]) -> dict[str, NDArray]:
    """Gymnasium's vector info: each key with ``_key``, the mask of the lanes that have it; the others hold zeros."""
    out: dict[str, NDArray] = {}
    for key, value in info.items():
        mask = present.reshape(-1, *[1] * (value.ndim - 1))
        out[key] = np.where(mask, value, np.zeros((), value.dtype))
        out[f"_{key}"] = present.copy()
    return out
