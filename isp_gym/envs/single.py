"""The Gymnasium ``Env`` round a family: the batch of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray

from isp_gym.budget import Budget
from isp_gym.envs.episodes import seeds_of
from isp_gym.envs.family import Family, row_of
from isp_gym.envs.render import Frame, Window
from isp_gym.envs.transition import Transition


class ISPEnv(gym.Env):
    """Base of the single environments; see the family's class for its spaces and reward.

    Args:
        render_mode: ``"rgb_array"``, ``"human"`` or ``None``.
        actions: Action-space variant, by default the family's native one (see :mod:`isp_gym.envs.actions`).
        bins: Values of a binned parameter, for the variants that bin.
        output: ``"numpy"``, or ``"torch"`` for observations as tensors on the device.
        **options: Fields of :class:`isp_gym.envs.config.EnvConfig` and the family's own options.

    Raises:
        UserError: An option is unknown or wrong.

    Example:
        >>> import gymnasium as gym
        >>> import isp_gym
        >>> env = gym.make("ISP/StepwiseDiscrete-v0", image_size=32, num_scenes=4, bins=3)
        >>> env.action_space
        Discrete(82)
        >>> observation, info = env.reset(seed=0, options={"scene": 2})
        >>> info["scene"], info["action_mask"].shape
        (2, (82,))
    """

    metadata: dict[str, Any] = {"render_modes": ["human", "rgb_array"], "render_fps": 4}  # noqa: RUF012 (Gymnasium's form)
    family_class: ClassVar[type[Family]]

    def __init__(
        self,
        *,
        render_mode: str | None = None,
        actions: str | None = None,
        bins: int = 5,
        output: str = "numpy",
        **options: Any,
    ) -> None:
        self.render_mode = render_mode
        self.output = output
        self._family = self.family_class.make(1, actions, bins, output, options)
        self.observation_space = self._family.single_observation_space
        self.action_space = self._family.variant.space
        self._window = Window() if render_mode == "human" else None
        self._running = False

    @property
    def transition(self) -> Transition:
        """Return bank, task, reward and scenes."""
        return self._family.transition

    def share_budget(self, budget: Budget) -> None:
        """Count this environment's task evaluations and steps in ``budget``."""
        self.transition.budget = budget

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which choices are open, (M,) bool, as sb3-contrib's MaskablePPO asks for it."""
        return self._family.action_masks()[0].cpu().numpy()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin the next episode.

        Args:
            seed: Start the stream of scenes anew from this seed.
            options: ``{"scene": id or index}`` shows that scene.

        Raises:
            gymnasium.error.Error: The seed is negative.
            UserError: There is no scene of that id, or an option is unknown.
            ValueError: The seed is no integer, or there is no scene of that number.
        """
        seeds = None if seed is None else seeds_of(seed, 1)
        super().reset(seed=None if seeds is None else seeds[0])
        self._family.reset(seeds, options, self.np_random)
        self._running = True
        self._show()
        return self._observe(), _first(self._family.info())

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take one action.

        Raises:
            BudgetExhausted: The budget does not cover the step; nothing has changed then.
            gymnasium.error.ResetNeeded: The episode has not begun or is over.
            ValueError: The action is not of the action space.
        """
        if not self._running:
            raise gym.error.ResetNeeded("call reset() before step(): the episode has not begun or is over")
        step = self._family.step(_batch_of_one(action))
        terminated = bool(step.terminated[0])
        self._running = not terminated
        self._show()
        info = _first({**self._family.info(), **step.info})
        return self._observe(), float(step.rewards[0]), terminated, False, info

    def render(self) -> Frame | None:
        """Draw input, image and target, the pipeline and its reward: uint8 HWC, or ``None`` in the human mode.

        Raises:
            gymnasium.error.ResetNeeded: No episode has begun.
        """
        return self._family.frame(0) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the window, if there is one."""
        if self._window is not None:
            self._window.close()

    def _show(self) -> None:
        if self._window is not None:
            self._window.show(self._family.frame(0))

    def _observe(self) -> Any:
        return row_of(self._family.out(self._family.observe()), 0)


def _first(info: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {key: value[0].cpu().numpy() if value.ndim > 1 else value[0].item() for key, value in info.items()}


def _batch_of_one(action: Any) -> Any:
    if isinstance(action, Mapping):
        return {key: _batch_of_one(value) for key, value in action.items()}
    if isinstance(action, torch.Tensor):
        return action[None]
    try:
        return np.asarray(action)[None]
    except ValueError:  # a nested sequence that is no array; the action-space variant says so in its own words
        return action
