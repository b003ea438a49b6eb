"""Environments, banks, tasks, rewards and plug-ins: each used once, on tiny scenes that need no download."""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial

import gymnasium as gym
import torch

from isp_gym import plugins
from isp_gym.doctor.check import Check, Skipped
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.registry import REGISTRY
from isp_gym.modules import get_bank
from isp_gym.modules.bank import Bank
from isp_gym.modules.registry import BANKS
from isp_gym.rewards.registry import REWARDS
from isp_gym.tasks import TASKS

TINY = EnvConfig(data="photos", num_scenes=2, image_size=36)
"""Photographs from installed packages; an agent with Stable-Baselines3's CNN needs 36 pixels."""


def environment_checks() -> list[Check]:
    """Return a check for each environment id: its spaces, a reset and a step."""
    return [Check("environments", env.env_id, partial(_environment, env.env_id)) for env in REGISTRY]


def bank_checks() -> list[Check]:
    """Return a check for each module of each bank: one image through it."""
    checks = []
    for name in [*BANKS, *(name for name in plugins.plugin_names("banks") if name not in BANKS)]:
        try:
            bank = get_bank(name)
        except Exception:  # said once more, where it is caught
            checks.append(Check("modules", name, partial(_bank, name)))
        else:
            checks += [
                Check("modules", f"{name}/{module}", partial(_module, bank, token))
                for token, module in enumerate(bank.names)
            ]
    return checks


def task_checks() -> list[Check]:
    """Return a check for each task: its loss and its metrics of a scene."""
    return [
        Check("tasks", name, partial(_task, name)) for name in dict.fromkeys((*TASKS, *plugins.plugin_names("tasks")))
    ]


def reward_checks() -> list[Check]:
    """Return a check for each reward term."""
    names = dict.fromkeys((*REWARDS, *plugins.plugin_names("rewards")))
    return [Check("rewards", name, partial(_reward, name)) for name in names]


def plugin_checks() -> list[Check]:
    """Return a check for each plug-in of a kind that is not used above: whether it can be imported."""
    return [
        Check(kind, name, partial(_plugin, kind, name))
        for kind in ("networks", "modules", "data")
        for name in plugins.plugin_names(kind)
    ]


def _environment(env_id: str) -> str:
    env = gym.make(env_id, **asdict(TINY))
    try:
        env.action_space.seed(0)
        first, _ = env.reset(seed=0)
        second, reward, *_ = env.step(env.action_space.sample())
        for observation in (first, second):
            _require(env.observation_space.contains(observation), "an observation is not in its space")
        _require(bool(torch.tensor(float(reward)).isfinite()), f"the reward is {reward}")
        return f"observation {_shapes(env.observation_space)}; action {_shapes(env.action_space)}"
    finally:
        env.close()


def _shapes(space: gym.Space) -> str:
    if isinstance(space, gym.spaces.Dict):
        return ", ".join(f"{key} {_shapes(value)}" for key, value in space.items())
    if isinstance(space, gym.spaces.Discrete):
        return f"Discrete({space.n})"
    return f"{type(space).__name__}{tuple(space.shape or ())}"


def _bank(name: str) -> str:
    return f"{get_bank(name).num_modules} modules"


@torch.no_grad()
def _module(bank: Bank, token: int) -> str:
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    output = bank.step(images, torch.tensor([token]), torch.full((1, bank.num_params), 0.75))
    _require(output.shape == images.shape, f"it made {tuple(output.shape)} of {tuple(images.shape)}")
    _require(bool(output.isfinite().all()), "it made NaN or infinite values")
    return f"{len(bank.modules[token].parameters)} parameters"


@torch.no_grad()
def _task(name: str) -> str:
    setting = EnvConfig(task=name, num_scenes=2, image_size=64)
    task, batch = setting.make_task().unmetered, setting.load_scenes().batch([0, 1])
    if not task.measures(batch):
        raise Skipped(f"needs data that it can measure; data={setting.data} has not what it takes")
    loss, metric = task.loss(batch.images, batch), task.metric()
    _require(loss.shape == (2,) and bool(loss.isfinite().all()), f"the losses are {loss.tolist()}")
    metric.update(batch.images, batch)
    return f"data={setting.data}, metrics {', '.join(metric.compute())}"


@torch.no_grad()
def _reward(name: str) -> str:
    setting = replace(TINY, objective={name: 1.0})
    batch = setting.load_scenes().batch([0, 1])
    loss = setting.make_task().unmetered.loss(batch.images, batch)
    _require(loss.shape == (2,) and bool(loss.isfinite().all()), f"the scores are {(-loss).tolist()}")
    return f"scores {', '.join(f'{score:.3g}' for score in (-loss).tolist())}"


def _plugin(kind: str, name: str) -> str:
    return f"{plugins.plugin_names(kind)[name]} {type(plugins.find(kind, name)).__name__}"


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise AssertionError(otherwise)
