"""What a family of environments defines; :mod:`isp_gym.envs.single` and ``vector`` put Gymnasium's faces on it."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.envs.actions import ActionVariant, Native
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.episodes import scene_indices, seeds_of
from isp_gym.envs.render import Frame, draw
from isp_gym.errors import UserError, unknown

OUTPUTS = ("numpy", "torch")
Observation = Any  # a tensor, or a dict of tensors, with a leading axis of sub-environments


@dataclass(frozen=True)
class Step:
    """What one step of all n sub-environments brought, as fresh tensors: each (n,) or (n, ...)."""

    rewards: Tensor
    terminated: Tensor
    info: dict[str, Tensor]


class Family(ABC):
    """The state of n sub-environments that step together, and how it moves.

    Every tensor that :meth:`step`, :meth:`observe` and :meth:`info` hand out is fresh: whoever gets it may keep it and
    write to it. Made by :meth:`make`.

    Args:
        num_envs: n.
        config: The problem.
        actions: Name of the action-space variant; ``None`` for the native one.
        bins: Values of a binned parameter, for the variants that bin.
        output: ``"numpy"``, or ``"torch"`` for tensors on the device.

    Attributes:
        transition: Bank, task, reward and scenes.
        variant: Turns the learner's actions into native ones.
        started: Whether there has been a reset.
        indices: Which scene each sub-environment shows, (n,) int64, on the CPU.
        scenes: Those scenes, n of them.
        images: The images as they stand, (n, 3, H, W) float32, unclipped.
    """

    #: Keyword arguments of this family beyond those of EnvConfig.
    own_options: ClassVar[tuple[str, ...]] = ()
    #: Action-space variants by name, the native one first.
    variants: ClassVar[Mapping[str, type[ActionVariant]]]
    single_observation_space: gym.Space

    def __init__(self, num_envs: int, config: EnvConfig, actions: str | None, bins: int, output: str) -> None:
        self.num_envs, self.config, self.bins, self.output = num_envs, config, bins, output
        self.variant = self.make_variant(actions)
        self.transition = config.make_transition()
        self.images = torch.zeros(num_envs, *image_space(config.image_size).shape, device=config.device)
        self.indices = torch.zeros(num_envs, dtype=torch.int64)
        self.scenes: SceneBatch
        self.started = False
        self._all = torch.arange(num_envs)
        self._seeds = np.zeros(num_envs, np.uint64)
        self._episodes = np.full(num_envs, -1, np.int64)
        self._seeded = False
        self._reward = torch.zeros(num_envs)  # of the last step
        self._return = torch.zeros(num_envs)  # of the episode so far

    @classmethod
    @torch.inference_mode(False)  # whose tensors could not be written to outside it
    def make(cls, num_envs: int, actions: str | None, bins: int, output: str, options: Mapping[str, Any]) -> Family:
        """Make the family of keyword arguments: fields of EnvConfig, and ``own_options``.

        Raises:
            UserError: An option is unknown or wrong.
        """
        if num_envs < 1:
            raise UserError(f"num_envs must be at least 1, not {num_envs}")
        if output not in OUTPUTS:
            raise unknown("output", output, OUTPUTS)
        own = {key: options[key] for key in cls.own_options if key in options}
        config = EnvConfig.of({key: value for key, value in options.items() if key not in own})
        return cls(num_envs, config, actions, bins, output, **own)

    def make_variant(self, name: str | None) -> ActionVariant:
        """Make an action-space variant of the family, by default the native one.

        Raises:
            UserError: The family has no such variant.
        """
        chosen = next(iter(self.variants)) if name is None else name
        if chosen not in self.variants:
            raise unknown("action-space variant", chosen, self.variants)
        return self.variants[chosen](self.config.rules.bank, self.config, self.bins)

    @abstractmethod
    def observe(self, where: Tensor | slice = slice(None)) -> Observation:
        """Return what the sub-environments ``where``, by default all, see now; finished ones see their final image."""

    @abstractmethod
    def token_mask(self) -> Tensor:
        """Return which module tokens may be chosen, (n, K + 1) bool; (n, 0) in a family without modules."""

    @abstractmethod
    def describe(self, i: int) -> list[str]:
        """Say what has been done to the image of sub-environment ``i``, one line per step, in physical units."""

    @abstractmethod
    def _restart(self, where: Tensor, scenes: SceneBatch) -> None:
        """Forget the old episodes of the sub-environments ``where``, whose images are those of ``scenes`` now."""

    @abstractmethod
    def _advance(self, actions: Native) -> Step:
        """Take one checked native action in each sub-environment; if the budget is exhausted, change nothing."""

    def reset(
        self, seeds: Sequence[int] | None, options: Mapping[str, Any] | None, random: np.random.Generator
    ) -> None:
        """Start an episode in all sub-environments.

        Args:
            seeds: Start the stream of scenes of each anew from its seed, modulo 2**64; ``None`` to go on with it.
            options: ``{"scene": id or index}``, or ``{"scene": [...]}`` with one for each, where ``None`` stands for
                the next scene of its stream.
            random: Samples the seeds if there have never been any.

        Raises:
            ValueError: ``options["scene"]`` is a number outside the set, or there is not one for each.
            UserError: It is an id of no scene of the set, or there is another key.
        """
        forced = self._forced(options or {})
        if seeds is None and not self._seeded:
            seeds = seeds_of(int(random.integers(2**63)), self.num_envs)
        if seeds is not None:
            self._seeds[:] = np.array([int(seed) % 2**64 for seed in seeds], np.uint64)
            self._episodes[:] = -1
            self._seeded = True
        self._begin(self._all, forced)
        self.started = True

    def reset_ended(self, ended: Tensor) -> None:
        """Start the next episode in the sub-environments ``ended``, (m,) int64 on the CPU."""
        self._begin(ended, {})

    @torch.inference_mode(False)
    @torch.no_grad()
    def _begin(self, where: Tensor, forced: Mapping[int, int]) -> None:
        rows, scenes = where.numpy(), self.transition.scenes
        self._episodes[rows] += 1
        indices = scene_indices(self._seeds[rows], self._episodes[rows].astype(np.uint64), len(scenes))
        for i, scene in forced.items():
            indices[i] = scene
        self.indices[where] = torch.from_numpy(indices)
        new = scenes.batch(indices.tolist())
        self.scenes = new if len(where) == self.num_envs else self.scenes.replace_rows(where, new)
        # They may be the scenes' inputs themselves where no module has run, whose rows hold the same by now.
        self.images.index_copy_(0, where.to(self.config.device), new.images)
        self._restart(where.to(self.config.device), new)
        self._reward[where] = 0
        self._return[where] = 0

    def _forced(self, options: Mapping[str, Any]) -> dict[int, int]:
        """The scenes that ``options`` name, by sub-environment."""
        for key in options:
            if key != "scene":
                raise unknown("reset option", key, ["scene"])
        scene, count = options.get("scene"), self.num_envs
        asked = list(scene) if isinstance(scene, (list, tuple, np.ndarray)) and np.ndim(scene) else [scene] * count
        if len(asked) != count:
            raise ValueError(f"options['scene'] names {len(asked)} scenes for {count} environments")
        return {i: self._scene(one) for i, one in enumerate(asked) if one is not None}

    def _scene(self, scene: Any) -> int:
        scenes = self.transition.scenes
        if isinstance(scene, str):
            return scenes.index(scene)
        try:
            index = operator.index(scene)
        except TypeError:
            raise ValueError(f"options['scene'] must be an id or an integer, not {scene!r}") from None
        if not 0 <= index < len(scenes):
            raise ValueError(f"options['scene'] must lie in [0, {len(scenes)}), not {index}")
        return index

    @torch.inference_mode(False)
    @torch.no_grad()
    def step(self, actions: Any) -> Step:
        """Decode and take one action in each sub-environment; what can go wrong goes wrong before anything changes.

        Raises:
            BudgetExhausted: The budget does not cover the steps, or the evaluations that they need.
            ValueError: An action is not of the action space.
        """
        native, budget = self.variant.decode(actions, self.token_mask()), self.transition.budget
        budget.require(steps=self.num_envs)
        step = self._advance(native)
        budget.step(self.num_envs)
        self._reward = step.rewards.cpu().clone()  # the step hands its own tensor out
        self._return = self._return + self._reward
        return step

    def action_masks(self) -> Tensor:
        """Return which choices are open, (n, M) bool; see :meth:`isp_gym.envs.actions.ActionVariant.mask`."""
        return self.variant.mask(self.token_mask())

    def info(self) -> dict[str, Tensor]:
        """Return what ``reset`` says of each sub-environment."""
        info = {"scene": self.indices.clone(), "initial_loss": self.transition.initial_loss(self.scenes)}
        mask = self.token_mask()
        return {**info, self.variant.mask_name: self.variant.mask(mask).to(torch.int8)} if mask.shape[1] else info

    def frame(self, i: int) -> Frame:
        """Draw sub-environment ``i``, uint8 HWC.

        Raises:
            gymnasium.error.ResetNeeded: No episode has begun.
        """
        if not self.started:
            raise gym.error.ResetNeeded("call reset() before render()")
        scenes = self.scenes
        heading = f"{scenes.ids[i]}   reward {self._reward[i]:+.4f}   return {self._return[i]:+.4f}"
        images = [scenes.images[i], self.images[i], *([] if scenes.targets is None else [scenes.targets[i]])]
        return draw(images, heading, self.describe(i))

    def out(self, value: Any) -> Any:
        """Turn fresh tensors, or dicts of them, into what is handed out; nothing is copied on one device."""
        if isinstance(value, dict):
            return {key: self.out(item) for key, item in value.items()}
        return value.cpu().numpy() if self.output == "numpy" else value


def row_of(value: Any, i: int) -> Any:
    """Return row ``i`` of a batch of observations."""
    if isinstance(value, dict):
        return {key: row_of(item, i) for key, item in value.items()}
    return value[i]


def image_space(size: int) -> gym.spaces.Box:
    """Return the space of one observed image: float32 CHW in [0, 1]."""
    return gym.spaces.Box(0.0, 1.0, (3, size, size), np.float32)
