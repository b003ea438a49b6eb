"""Pixel curve environments: every pixel gets its own tone curve, K times (PixelRL, PixelPolish)."""

from __future__ import annotations

from typing import ClassVar

import gymnasium as gym
import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.core import Core, Step, image_space
from isp_gym.envs.ledger import Ledger
from isp_gym.envs.single import ISPEnv
from isp_gym.envs.transition import Transition
from isp_gym.envs.vector import ISPVectorEnv
from isp_gym.envs.views import ActionVariant, CurveBox, CurveMultiDiscrete, Native
from isp_gym.errors import UserError
from isp_gym.modules.curves import CURVE_PARAMETERS, physical_curves


class PixelCurveCore(Core):
    """State of the pixel curve family: images, steps, mean curves so far, and what has been paid."""

    own_options = ("dense", "steps", "pixel_rewards")
    views: ClassVar[dict[str, type[ActionVariant]]] = {"box": CurveBox, "multidiscrete": CurveMultiDiscrete}

    def __init__(
        self,
        transition: Transition,
        num_lanes: int,
        setting: EnvConfig,
        dense: bool = True,
        steps: int = 5,
        pixel_rewards: bool = False,
    ) -> None:
        super().__init__(transition, num_lanes, setting)
        if steps < 1:
            raise UserError(f"steps must be at least 1, not {steps}")
        if pixel_rewards and not transition.task.has_maps:
            raise UserError(
                f"pixel_rewards needs rewards with a map in place of '{transition.task.name}': objective=..."
            )
        image = image_space(setting.image_size)
        self.single_observation_space = gym.spaces.Dict({"image": image, "step": gym.spaces.Discrete(steps + 1)})
        self.steps = steps
        pixels = image.shape[1:] if pixel_rewards else ()
        self.ledger = Ledger(transition, num_lanes, dense, setting.device, pixels)
        self._images = torch.zeros(num_lanes, *image.shape, device=setting.device)
        self._step = torch.zeros(num_lanes, dtype=torch.int64, device=setting.device)
        self._no_tokens = torch.empty(num_lanes, 0, dtype=torch.bool, device=setting.device)
        self._means = torch.zeros(num_lanes, steps, len(CURVE_PARAMETERS), device=setting.device)

    def _restart(self, lanes: Tensor, scenes: SceneBatch) -> None:
        self._images.index_copy_(0, lanes, scenes.images)
        self._step[lanes] = 0
        self.ledger.begin(lanes, scenes)

    @torch.no_grad()
    def advance(self, actions: Native) -> Step:
        """Apply the curves."""
        terminated = self._step + 1 >= self.steps
        changed = torch.ones_like(terminated)
        self.ledger.require(changed, terminated)
        images = self.transition.curve(self._images, actions["curves"])
        payment = self.ledger.settle(images, self.scenes, changed, terminated)
        means = actions["curves"].mean(dim=(2, 3))
        self._means[torch.arange(self.num_lanes, device=means.device), self._step] = means
        self._images, self._step = images, self._step + 1
        if not self.ledger.pixels:
            return Step(payment.rewards, terminated, {"loss": payment.loss, "penalty": payment.penalty})
        loss, rewards = payment.loss.mean(dim=(1, 2)), payment.rewards.mean(dim=(1, 2))
        info = {"loss": loss, "penalty": payment.penalty, "reward_map": payment.rewards}
        return Step(rewards, terminated, info)

    def observe(self, lanes: Tensor | slice = slice(None)) -> dict[str, Tensor]:
        """Image and step."""
        return {"image": self._images[lanes].clamp(0, 1), "step": self._step[lanes].clone()}

    def images(self) -> Tensor:
        """The images so far."""
        return self._images

    def token_mask(self) -> Tensor:
        """There are no modules: (n, 0)."""
        return self._no_tokens

    def describe(self, lane: int) -> list[str]:
        """The mean curve of each step (geometric for gamma and alpha)."""
        means = self._means[lane, : int(self._step[lane]), :, None, None]
        rows = physical_curves(means).flatten(1).tolist()
        return [" ".join(f"{n} {v:.2f}" for n, v in zip(CURVE_PARAMETERS, row, strict=True)) for row in rows]


class PixelCurveEnv(ISPEnv):
    """A Markov decision process of ``steps`` steps: gamma, gain and offset for every pixel.

    Each step makes ``clip(alpha * x**gamma + beta, 0, 1)`` of the image, see :mod:`isp_gym.modules.curves`.

    Observation:
        ``{"image": Box(0, 1, (3, H, W)), "step": Discrete(steps + 1)}``: the image so far and the number of steps
        taken. What an image is worth depends on how many steps are left, so that without the step this were no MDP.
    Action:
        ``Box(-1, 1, (3, H, W))``: gamma, alpha and beta of every pixel, log-symmetric round the identity at 0. Other
        view: ``actions="multidiscrete"``.
    Reward:
        As in :class:`isp_gym.envs.stepwise.StepwiseEnv`: the return is ``L(in) - L(out) - P(out)``, dense or terminal,
        with the task's loss, or with ``objective`` minus a weighted sum of bounded rewards. Each image is scored once.
    Termination:
        After ``steps`` steps (5), always; what follows the last step is worth nothing, so do not bootstrap there.
    Info:
        ``scene``, ``initial_loss``; on step also ``loss``, ``penalty`` and, with ``pixel_rewards=True``,
        ``reward_map`` (H, W), whose mean is the reward.
    State:
        The scene with its target or annotations, the image so far, and the number of steps taken. The curves clip to
        [0, 1], so that the image is observed as it is; the target is not observed.

    Keyword arguments are ``dense``, ``steps``, ``pixel_rewards``, those of :class:`isp_gym.envs.single.ISPEnv` and the
    fields of :class:`isp_gym.envs.config.EnvConfig`.
    """

    core_class = PixelCurveCore


class PixelCurveVectorEnv(ISPVectorEnv):
    """``num_envs`` sub-environments of :class:`PixelCurveEnv` that share one batched transition."""

    core_class = PixelCurveCore
