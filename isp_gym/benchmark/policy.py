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
        setting = own.setting("test")
        return _on_device(agent, config), _with_modules(config, setting.make_bank(), setting.length), 0
    if file and name in agent_names():
        agent = load_agent(name)
        if not hasattr(agent, "from_released"):
            raise UserError(f"agent '{name}' reads no files; write --policy {name}")
        agent = _on_device(agent.from_released(file), config)
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
    elif _read(run, "row.json", "task_evaluations"):
        raise UserError(f"agent '{card['agent']}' does not save what it learned, so that '{run}' cannot be used again")
    return agent, config


def _card(run: Path) -> dict[str, Any]:
    return {key: _read(run, RUN_CARD, key) for key in ("agent", "options", "config")}


def _read(run: Path, name: str, key: str) -> Any:
    """What one of a run's JSON files says of ``key``."""
    if not (run / name).is_file():
        raise UserError(f"'{run}' is no finished run; give OUT/runs/AGENT/seed-N of a comparison")
    try:
        return json.loads((run / name).read_text())[key]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{run / name}' is damaged; run the comparison again") from error


def _on_device(agent: Any, config: CompareConfig) -> Any:
    """Networks are kept on the CPU; images will be where the config says."""
    if hasattr(agent, "networks"):
        agent.networks.to(config.device)
    return agent


def _with_modules(config: CompareConfig, bank: Any, max_length: int) -> CompareConfig:
    return replace(config, bank=bank.name, modules=list(bank.names), max_length=max_length)
