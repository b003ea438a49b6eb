"""What is asked of an agent: data, modules, task and reward, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from isp_gym.budget import Budget
from isp_gym.data import ON_ERROR, SPLITS, SceneSet, check_data, load_scenes
from isp_gym.envs.transition import Transition
from isp_gym.errors import UserError, unknown
from isp_gym.modules import Bank, get_bank
from isp_gym.pipelines import Rules
from isp_gym.rewards import Objective, TerminalReward
from isp_gym.tasks import MeteredTask, default_data, get_task

ORDERS = ("free", "typed")


@dataclass(frozen=True)
class EnvConfig:
    """The keyword arguments that all environments share; every value can stand in JSON.

    Attributes:
        data: Data source, e.g. ``"photos"`` or ``"folder:PATH"``; empty for what suits the task.
        split: ``"train"``, ``"validation"`` or ``"test"``.
        num_scenes: How many scenes of the split there are to sample from.
        image_size: Side of the square images, pixels.
        scene_seed: Seed of the scenes themselves (crops, noise, darkness); not of their order.
        bank: Name of the module bank.
        modules: Names of the modules to use, in token order; ``None`` for the whole bank.
        max_length: Longest pipeline, in modules; ``None`` for as many as the bank has.
        task: The downstream task, e.g. ``"detection"`` or ``"detection:NETWORK"``, see :func:`isp_gym.tasks.get_task`.
        task_options: Keyword arguments of the task, e.g. ``{"losses": ["box", "class"]}``.
        on_error: What to do about a file that cannot be used: ``"raise"`` an error, or ``"skip"`` it with a warning.
        order: ``"free"``: modules in any order; ``"typed"``: each must find its input domain (scene-linear or
            display-referred, see :meth:`isp_gym.modules.Bank.typed_mask`), or it is dropped like a module used twice.
        repeats: Whether a module may be used more than once. A step takes its own parameters where it has any
            (Stepwise, and pipelines with one row per step); the Sequence family has one row of them for all steps.
        objective: Reward terms in place of the task's loss, with their weights, e.g. ``{"entropy": 1.0}``
            (see :func:`isp_gym.rewards.table`); evaluation keeps the task's metrics.
        reward: Fields of :class:`isp_gym.rewards.TerminalReward` to change, e.g. ``{"low": 0.02}``.
        device: Torch device on which everything is computed.
    """

    data: str = ""
    split: str = "train"
    num_scenes: int = 128
    image_size: int = 64
    scene_seed: int = 0
    bank: str = "stable"
    modules: list[str] | None = None
    max_length: int | None = None
    task: str = "enhancement"
    task_options: dict[str, Any] | None = None
    on_error: str = "raise"
    order: str = "free"
    repeats: bool = False
    objective: dict[str, float] | None = None
    reward: dict[str, float] | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not self.data:
            object.__setattr__(self, "data", default_data(self.task))

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> EnvConfig:
        """Make and check a configuration of keyword arguments.

        Raises:
            UserError: There is no such option, or :meth:`check` finds a fault.
        """
        for key in options:
            if key not in cls.__dataclass_fields__:
                raise unknown("environment option", key, cls.__dataclass_fields__)
        config = cls(**options)
        config.check()
        return config

    def check(self) -> None:
        """Name the first thing that is wrong, without loading any image.

        Raises:
            UserError: A name is unknown, a folder missing or a number out of range.
        """
        if self.split not in SPLITS:
            raise unknown("split", self.split, SPLITS)
        if self.order not in ORDERS:
            raise unknown("order", self.order, ORDERS)
        if self.on_error not in ON_ERROR:
            raise unknown("on_error", self.on_error, ON_ERROR)
        if not isinstance(self.repeats, bool):
            raise UserError(f"repeats must be true or false, not {self.repeats!r}")
        # SSIM's window and the denoiser's search take 11 pixels; 16 is the next size that is not all border.
        for name, least in (("num_scenes", 1), ("image_size", 16)):
            if getattr(self, name) < least:
                raise UserError(f"{name} must be at least {least}, not {getattr(self, name)}")
        check_device(self.device)
        if not self.length >= 1:
            raise UserError(f"max_length must be at least 1, not {self.max_length}")
        self.make_task()
        self.make_reward()
        check_data(self.data)

    @cached_property
    def rules(self) -> Rules:
        """Return what a pipeline may be: bank, longest length, order, repeats."""
        bank = self.make_bank()
        length = bank.num_modules if self.max_length is None else self.max_length
        return Rules(bank, length, self.order == "typed", self.repeats)

    @property
    def length(self) -> int:
        """Return the longest pipeline, in modules."""
        return self.rules.max_length

    def make_bank(self) -> Bank:
        """Make the module bank."""
        return get_bank(self.bank, None if self.modules is None else tuple(self.modules))

    def make_task(self) -> MeteredTask:
        """Make the downstream task, with the objective as its loss if there is one; what it scores is counted."""
        task = get_task(self.task, self.task_options, self.device).unmetered
        return MeteredTask(task if self.objective is None else Objective(task, self.objective), Budget())

    def make_reward(self) -> TerminalReward:
        """Make the terminal reward."""
        changes = dict(self.reward or {})
        for key in changes:
            if key not in TerminalReward.__dataclass_fields__:
                raise unknown("reward setting", key, TerminalReward.__dataclass_fields__)
        return TerminalReward(**changes)

    def load_scenes(self) -> SceneSet:
        """The scenes of the split, on the device."""
        scenes = load_scenes(self.data, self.split, self.num_scenes, self.image_size, self.scene_seed, self.on_error)
        return scenes.to(self.device)

    def make_transition(self, budget: Budget | None = None) -> Transition:
        """Make the transition over the scenes of the split."""
        return Transition(self.load_scenes(), self.rules, self.make_task(), self.make_reward(), budget)


def check_device(device: str) -> None:
    """Raise ``UserError`` unless torch can compute on ``device`` here."""
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"device '{device}' cannot be used here: {reason}") from error
