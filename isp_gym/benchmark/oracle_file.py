"""``oracle.json``: the best sequence of a small bank, found by trying all of them, and regret against it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from isp_gym.benchmark.agent import Agent
from isp_gym.benchmark.evaluation import process
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.pipelines import Pipelines

Oracle = dict[str, Any]

# What decides how much a sequence can earn on a scene; the number of scenes does not, scene k being what it is.
_DECIDES = (
    "data",
    "data_options",
    "image_size",
    "scene_seed",
    "bank",
    "modules",
    "max_length",
    "task",
    "task_options",
    "order",
    "repeats",
)


def problem_of(setting: EnvConfig) -> dict[str, Any]:
    """What an oracle is the oracle of, as plain values."""
    values = {key: value for key, value in asdict(setting).items() if key in (*_DECIDES, "objective", "reward")}
    values["modules"] = list(setting.make_bank().names)
    values["max_length"] = setting.length
    for key in ("data_options", "task_options", "objective", "reward"):
        values[key] = dict(values[key]) if values[key] else None
    return values


def load_oracle(path: str | Path, setting: EnvConfig) -> Oracle:
    """Read an ``oracle.json``.

    Args:
        path: The file.
        setting: The setting that it must be the oracle of.

    Raises:
        UserError: It is missing, unfinished, of another setting or more scenes, or worth nothing.
    """
    if not Path(path).is_file():
        raise UserError(f"no oracle at '{path}'; make it with isp-gym oracle --config CONFIG --out {Path(path).parent}")
    try:
        oracle = json.loads(Path(path).read_text())
        problem, scenes, best = dict(oracle["problem"]), len(oracle["scenes"]), float(oracle["sequences"][0]["reward"])
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UserError(f"'{path}' is no oracle of isp-gym oracle: {error}") from error
    for key, value in problem_of(setting).items():
        if problem.get(key) != value:
            raise UserError(f"the oracle '{path}' is of another setting: {key} is {problem.get(key)!r}, not {value!r}")
    if scenes > setting.num_scenes:
        raise UserError(f"the oracle '{path}' needs scenes.train of at least {scenes}, not {setting.num_scenes}")
    if best <= 0:
        raise UserError(f"the oracle '{path}' earned nothing; make it again with more oracle.steps")
    return oracle


@torch.no_grad()
def regret(agent: Agent, oracle: Oracle, setting: EnvConfig) -> dict[str, float]:
    """How much an agent leaves on the table, on the training scenes of the oracle.

    Args:
        agent: See :class:`isp_gym.benchmark.agent.Agent`.
        oracle: From :func:`load_oracle`.
        setting: The training setting.

    Returns:
        ``regret``: the oracle's reward less the agent's, relative to the oracle's, agent and oracle with parameters of
        their own. ``sequence_regret``, where the agent has pipelines: likewise, but the agent's sequence with the
        oracle's parameters, so that only the choice of the sequence counts (the mean, if it differs between scenes).
    """
    transition = setting.make_transition()
    batch = transition.scenes.batch([transition.scenes.index(scene) for scene in oracle["scenes"]])
    outputs, pipelines = process(agent, batch, setting.rules)
    loss = transition.task.unmetered.loss(outputs, batch)
    rewards = transition.initial_loss(batch) - loss - transition.reward.penalty(outputs)
    best = oracle["sequences"][0]["reward"]
    found = {"regret": (best - float(rewards.mean())) / best}
    possible = None if pipelines is None else _possible(pipelines, oracle)
    if possible is not None:
        found["sequence_regret"] = (best - possible) / best
    return found


def _possible(pipelines: Pipelines, oracle: Oracle) -> float | None:
    """What the oracle's parameters earn with the agent's sequences, one a scene; ``None`` if it lacks one of them."""
    rewards = {tuple(row["sequence"]): row["rewards"] for row in oracle["sequences"]}
    chosen = [pipelines.names(i) for i in range(len(pipelines))]
    if not rewards.keys() >= set(chosen):
        return None
    return sum(rewards[sequence][i] for i, sequence in enumerate(chosen)) / len(chosen)
