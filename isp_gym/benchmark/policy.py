"""Policies to evaluate, by their SPEC: the name of an agent, a file of ours or the authors', or a finished run."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from isp_gym.benchmark.agent import agent_names, load_agent
from isp_gym.benchmark.config import CompareConfig
from isp_gym.benchmark.run import RUN_CARD
from isp_gym.benchmark.training import Training
from isp_gym.budget import Budget, BudgetExhausted
from isp_gym.config import typed
from isp_gym.data import sealed
from isp_gym.errors import UserError


def load_policy(spec: str, config: CompareConfig, budget: int = 1000) -> tuple[Any, CompareConfig, int]:
    """Make or read a policy.

    Args:
        spec: The folder of a finished run (``OUT/runs/AGENT/seed-N``); ``AGENT:FILE`` for an agent that reads files of
            others (``posisp:FILE.pth``, a checkpoint of its authors' release); or the name of an agent, which is
            trained first if it learns.
        config: What it is to be evaluated on; a run or a file brings its own modules along.
        budget: Task evaluations to train a named agent with.

    Returns:
        The policy, the config with the policy's modules, and the task evaluations spent now.

    Raises:
        UserError: There is no such policy.
    """
    name, _, file = spec.partition(":")
    if Path(spec).is_dir():
        agent, own = _load_run(Path(spec))
        return agent, _with_modules(config, own.setting("test").make_bank(), own.setting("test").length), 0
    if file and name in agent_names():
        agent = load_agent(name)
        if not hasattr(agent, "from_released"):
            raise UserError(f"agent '{name}' reads no files; write --policy {name}")
        agent = agent.from_released(file)
        return agent, _with_modules(config, agent.bank, agent.bank.num_modules), 0
    if "/" in spec and ":" not in spec:
        raise UserError(f"no run at '{spec}'; give OUT/runs/AGENT/seed-N of a comparison, or the name of an agent")
    agent = load_agent(spec)
    spent = Budget(budget)
    with sealed("test"), suppress(BudgetExhausted):
        agent.train(Training(config.setting("train"), 0, spent))
    return agent, config, spent.task_evaluations


def load_config_of(run: Path) -> CompareConfig:
    """The config that a finished run was made with."""
    return typed(CompareConfig, _card(run)["config"], "config key")


def _load_run(run: Path) -> tuple[Any, CompareConfig]:
    card = _card(run)
    agent, config = load_agent(card["agent"], card["options"]), load_config_of(run)
    if (run / "policy").is_dir():
        agent.load(run / "policy")  # type: ignore[attr-defined]
    elif json.loads((run / "row.json").read_text())["task_evaluations"]:
        raise UserError(f"agent '{card['agent']}' does not save what it learned, so that '{run}' cannot be used again")
    return agent, config


def _card(run: Path) -> dict[str, Any]:
    if not (run / RUN_CARD).is_file():
        raise UserError(f"'{run}' is no finished run; give OUT/runs/AGENT/seed-N of a comparison")
    return json.loads((run / RUN_CARD).read_text())


def _with_modules(config: CompareConfig, bank: Any, max_length: int) -> CompareConfig:
    return replace(config, bank=bank.name, modules=list(bank.names), max_length=max_length)
