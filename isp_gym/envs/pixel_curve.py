"""Pixel curve environments: every pixel gets its own tone curve, K times (PixelRL, PixelPolish)."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.envs.actions import ActionVariant, Native, check_box, check_integers
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.family import Family, Step, image_space
from isp_gym.envs.reward_accumulator import RewardAccumulator
from isp_gym.envs.single import ISPEnv
from isp_gym.envs.vector import ISPVectorEnv
from isp_gym.errors import UserError
from isp_gym.modules import Bank
from isp_gym.modules.curves import CURVE_PARAMETERS, physical_curves


class CurveBox(ActionVariant):
    """``Box(-1, 1, (3, H, W))``: gamma, alpha and beta of every pixel, 0 for the identity; the native form."""

    def __init__(self, bank: Bank, config: EnvConfig, bins: int) -> None:
        super().__init__(bank, config, bins)
        self.shape = (3, config.image_size, config.image_size)
        self.space = gym.spaces.Box(-1.0, 1.0, self.shape, np.float32)

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """Return them as they are, checked."""
        return {"curves": check_box("action", actions, (len(token_mask), *self.shape), -1.0, self.device)}


class CurveMultiDiscrete(ActionVariant):
    """``MultiDiscrete([bins] * (3 H W))``: the bin of gamma, then alpha, then beta of every pixel (as in PixelRL)."""

    def __init__(self, bank: Bank, config: EnvConfig, bins: int) -> None:
        super().__init__(bank, config, bins)
        self.image = (3, config.image_size, config.image_size)
        self.shape = (int(np.prod(self.image)),)
        self.space = gym.spaces.MultiDiscrete([bins] * self.shape[0])

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """Return the curves that the bins stand for."""
        n = len(token_mask)
        chosen = check_integers("action", actions, (n, *self.shape), self.bins, self.device)
        return {"curves": (2 * self._binned(chosen) - 1).reshape(n, *self.image)}

    def mask(self, token_mask: Tensor) -> Tensor:
        """Return every bin."""
        return token_mask.new_ones(len(token_mask), self.shape[0] * self.bins)


class PixelCurveFamily(Family):
    """State of the pixel curve family: images, steps, mean curves and the rewards so far.

    Attributes:
        taken: Steps taken so far, (n,) int64.
    """

    own_options = ("dense", "steps", "pixel_rewards")
    variants: ClassVar[dict[str, type[ActionVariant]]] = {"box": CurveBox, "multidiscrete": CurveMultiDiscrete}

    def __init__(
        self,
        num_envs: int,
        config: EnvConfig,
        actions: str | None,
        bins: int,
        output: str,
        dense: bool = True,
        steps: int = 5,
        pixel_rewards: bool = False,
    ) -> None:
        super().__init__(num_envs, config, actions, bins, output)
        task, device = self.transition.task, config.device
        if steps < 1:
            raise UserError(f"steps must be at least 1, not {steps}")
        if pixel_rewards and not task.has_maps:
            raise UserError(f"pixel_rewards needs rewards with a map in place of '{task.name}': objective=...")
        image = image_space(config.image_size)
        self.single_observation_space = gym.spaces.Dict({"image": image, "step": gym.spaces.Discrete(steps + 1)})
        self.steps = steps
        self.taken = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self.accumulator = RewardAccumulator(
            self.transition, num_envs, dense, device, image.shape[1:] if pixel_rewards else ()
        )
        self._means = torch.zeros(num_envs, steps, len(CURVE_PARAMETERS), device=device)
        self._no_tokens = torch.empty(num_envs, 0, dtype=torch.bool, device=device)

    def _restart(self, where: Tensor, scenes: SceneBatch) -> None:
        self.taken[where] = 0
        self.accumulator.restart(where, scenes)

    def _advance(self, actions: Native) -> Step:
        """Apply the curves."""
        curves, terminated = actions["curves"], self.taken + 1 >= self.steps
        changed = torch.ones_like(terminated)
        self.accumulator.require(changed, terminated)
        images = self.transition.curve(self.images, curves)
        step = self.accumulator.add(images, self.scenes, changed, terminated)
        self._means[torch.arange(self.num_envs, device=curves.device), self.taken] = curves.mean(dim=(2, 3))
        self.images, self.taken = images, self.taken + 1
        if not self.accumulator.pixels:
            return Step(step.rewards, terminated, {"loss": step.loss, "penalty": step.penalty})
        loss, rewards = step.loss.mean(dim=(1, 2)), step.rewards.mean(dim=(1, 2))
        return Step(rewards, terminated, {"loss": loss, "penalty": step.penalty, "reward_map": step.rewards})

    def observe(self, where: Tensor | slice = slice(None)) -> dict[str, Tensor]:
        """Return image and step."""
        return {"image": self.images[where].clamp(0, 1), "step": self.taken[where].clone()}

    def token_mask(self) -> Tensor:
        """Return (n, 0): there are no modules."""
        return self._no_tokens

    def describe(self, i: int) -> list[str]:
        """Say what the mean curve of each step is (geometric for gamma and alpha)."""
        means = self._means[i, : int(self.taken[i]), :, None, None]
        rows = physical_curves(means).flatten(1).tolist()
        return [" ".join(f"{n} {v:.2f}" for n, v in zip(CURVE_PARAMETERS, row, strict=True)) for row in rows]


class PixelCurveEnv(ISPEnv):
    """A Markov decision process of ``steps`` steps: gamma, gain and offset for every pixel.

    Each step makes ``clip(alpha * x**gamma + beta, 0, 1)`` of the image, see :mod:`isp_gym.modules.curves`.

    Observation:
        - ``image``: ``Box(0, 1, (3, H, W), float32)``: the image so far;
        - ``step``: ``Discrete(steps + 1)``, int64: the number of steps taken. What an image is worth depends on how
          many are left, so that without it this were no Markov decision process.
    Action:
        ``Box(-1, 1, (3, H, W), float32)``: gamma, alpha and beta of every pixel, log-symmetric round the identity at 0.
        Other variant: ``actions="multidiscrete"``.
    Reward:
        float, as in :class:`isp_gym.envs.stepwise.StepwiseEnv`: the return is ``L(in) - L(out) - P(out)``, dense or
        terminal, with the task's loss, or with ``objective`` minus a weighted sum of bounded rewards. Each image is
        scored once.
    Termination:
        After ``steps`` steps (5), always; what follows the last step is worth nothing, so do not bootstrap there.
    Info:
        ``scene`` (index), ``initial_loss``; on step also ``loss``, ``penalty`` and, with ``pixel_rewards=True``,
        ``reward_map``, (H, W) float32, whose mean is the reward.
    State:
        - the image so far, (3, H, W) float32: the curves clip to [0, 1], so that it is observed as it is;
        - the number of steps taken, int64, observed;
        - ``L + P`` at the last reward, float32, or of each pixel with ``pixel_rewards``, (H, W) float32, not observed;
        - the scene with its target, (3, H, W) float32, or annotations, not observed.

    Keyword arguments are ``dense``, ``steps``, ``pixel_rewards``, those of :class:`isp_gym.envs.single.ISPEnv` and the
    fields of :class:`isp_gym.envs.config.EnvConfig`.

    Example:
        >>> import gymnasium as gym
        >>> import isp_gym
        >>> import numpy as np
        >>> env = gym.make("ISP/PixelCurve-v0", image_size=32, num_scenes=4, steps=2)
        >>> start, info = env.reset(seed=0)
        >>> identity = np.zeros((3, 32, 32), np.float32)
        >>> observation, reward, terminated, truncated, info = env.step(identity)
        >>> bool(np.allclose(observation["image"], start["image"], atol=1e-6)), terminated
        (True, False)
    """

    family_class = PixelCurveFamily


class PixelCurveVectorEnv(ISPVectorEnv):
    """``num_envs`` sub-environments of :class:`PixelCurveEnv` that share one batched transition."""

    family_class = PixelCurveFamily
