"""Policies to evaluate, by their SPEC: the name of an agent, a file of ours or the authors', or the folder of a run."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from isp_gym import plugins
from isp_gym.benchmark.agent import Agent, agent_names, load_agent
from isp_gym.benchmark.files import read_json
from isp_gym.benchmark.plan import POLICY, read_card
from isp_gym.benchmark.problem import Problem
from isp_gym.benchmark.training import Training
from isp_gym.budget import Budget, BudgetExhausted, metering
from isp_gym.data.access import seal
from isp_gym.errors import UserError
from isp_gym.pipelines import Rules


def is_run(spec: str) -> bool:
    """Whether a SPEC names the folder of a run; an agent's name goes before a folder of that name."""
    return spec not in agent_names() and Path(spec).is_dir()


def problem_of_run(run: Path) -> Problem:
    """The problem that a run was made with."""
    card = read_card(run)
    return Problem.of(card["problem"], card["config"])


def load_policy(
    spec: str, problem: Problem, budget: int = 1000, seed: int = 0, given: Collection[str] = ()
) -> tuple[Agent, Problem, int]:
    """Make or read a policy.

    Args:
        spec: The folder of a run (``OUT/runs/AGENT/seed-N``); ``AGENT:FILE`` for an agent that reads files of others
            (``posisp:FILE.pth``, a checkpoint of its authors' release); or the name of an agent, which is trained first
            if it learns.
        problem: What it is to be evaluated on; a run or a file brings its own modules along.
        budget: Task evaluations to train a named agent with.
        seed: Of its training.
        given: Keys of the problem that the user has set; one that the policy contradicts is an error.

    Returns:
        The policy, the problem with the policy's modules, and the task evaluations spent now.

    Raises:
        UserError: There is no such policy.
    """
    name, _, file = spec.partition(":")
    if is_run(spec):
        agent, rules = load_run(Path(spec)), problem_of_run(Path(spec)).env.rules
        return _on_device(agent, problem), _with_rules(problem, rules, given), 0
    if file and name in agent_names():
        cls = plugins.find("agents", name)
        if not hasattr(cls, "from_released"):
            raise UserError(f"agent '{name}' reads no files; write --policy {name}")
        agent = cls.from_released(file)
        return _on_device(agent, problem), _with_rules(problem, agent.rules, given), 0
    if "/" in spec and ":" not in spec:
        raise UserError(f"no run at '{spec}'; give OUT/runs/AGENT/seed-N of a comparison, or the name of an agent")
    agent, spent = load_agent(spec), Budget(budget, round(budget * problem.steps_per_evaluation))
    with seal("validation", "test"), metering(spent), suppress(BudgetExhausted):
        agent.train(Training(problem.setting("train"), seed, spent))
    return agent, problem, spent.task_evaluations


def load_run(run: Path) -> Agent:
    """The policy that a run has made, on the CPU.

    Raises:
        UserError: The run is not finished, damaged, or its agent cannot be saved.
    """
    card = read_card(run)
    agent = load_agent(card["agent"], card["options"])
    if (run / POLICY).is_dir():
        agent.load(run / POLICY)
    elif not _learned_nothing(run):
        raise UserError(f"agent '{card['agent']}' does not save what it learned, so that '{run}' cannot be used again")
    return agent


def _learned_nothing(run: Path) -> bool:
    try:
        return read_json(run / "row.json")["task_evaluations"] == 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{run}' is no finished run: {error}; run the comparison again") from error


def _on_device(agent: Agent, problem: Problem) -> Agent:
    """Networks are kept on the CPU; images will be where the problem says."""
    agent.to(problem.env.device)
    return agent


def _with_rules(problem: Problem, rules: Rules, given: Collection[str]) -> Problem:
    """The problem with the policy's own modules and rules; ``UserError`` if the user has asked for others."""
    own: dict[str, Any] = {
        "bank": rules.bank.name,
        "modules": list(rules.bank.specs),
        "max_length": rules.max_length,
        "order": "typed" if rules.domain_constrained else "free",
        "repeats": rules.repeats,
    }
    for key, value in own.items():
        if key in given and getattr(problem.env, key) != value:
            raise UserError(f"the policy was made with {key}={value}, not {getattr(problem.env, key)}; leave out {key}")
    return replace(problem, env=replace(problem.env, **own))
