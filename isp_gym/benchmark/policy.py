"""Policies to evaluate, by their SPEC: the name of an agent, a file of ours or the authors', or the folder of a run."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from isp_gym import plugins
from isp_gym.benchmark.agent import Agent, agent_names, load_agent
from isp_gym.benchmark.config import CompareConfig, read_config
from isp_gym.benchmark.evaluation import Evaluation, evaluate
from isp_gym.benchmark.files import read_json
from isp_gym.benchmark.plan import POLICY, read_card
from isp_gym.benchmark.problem import Problem
from isp_gym.benchmark.random_state import seed_everything
from isp_gym.benchmark.results import SCHEMA, Row
from isp_gym.benchmark.row import controller_parameters, scene_rows
from isp_gym.benchmark.status import Status
from isp_gym.benchmark.training import Training
from isp_gym.budget import Budget, BudgetExhausted, metering
from isp_gym.config import override
from isp_gym.config_files import Source
from isp_gym.data import SceneSet
from isp_gym.data.access import check_split, seal
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.pipelines import Rules


def is_run(spec: str) -> bool:
    """Return whether a SPEC names the folder of a run; an agent's name goes before a folder of that name."""
    return spec not in agent_names() and Path(spec).is_dir()


def problem_of_run(run: Path) -> Problem:
    """Return the problem that a run was made with."""
    card = read_card(run)
    return Problem.of(card["problem"], card["config"])


def load_policy(
    spec: str,
    problem: Problem,
    budget: int = 1000,
    seed: int = 0,
    given: Collection[str] = (),
    status: Status | None = None,
) -> tuple[Agent, Problem, int]:
    """Make or read a policy.

    Args:
        spec: The folder of a run (``OUT`` of a training, ``OUT/runs/AGENT/seed-N`` of a comparison); ``AGENT:FILE`` for
            an agent that reads files of others (``posisp:FILE.pth``, a checkpoint of its authors' release); or the name
            of an agent, which is trained first if it learns.
        problem: What it is to be evaluated on; a run or a file brings its own modules along.
        budget: Task evaluations to train a named agent with.
        seed: Of its training.
        given: Keys of the problem that the user has set; one that the policy contradicts is an error.
        status: Told how far the training is.

    Returns:
        The policy, the problem with the policy's modules, and the task evaluations spent now.

    Raises:
        UserError: There is no such policy.
    """
    agent, problem, is_trained = find_policy(spec, problem, given)
    return agent, problem, 0 if is_trained else _train(spec, agent, problem, budget, seed, status or Status())


def find_policy(spec: str, problem: Problem, given: Collection[str] = ()) -> tuple[Agent, Problem, bool]:
    """Make or read a policy without training it; arguments and errors as for :func:`load_policy`.

    Returns:
        The policy, the problem with the policy's modules, and whether it needs no training any more.
    """
    name, _, file = spec.partition(":")
    if is_run(spec):
        agent, rules = load_run(Path(spec)), problem_of_run(Path(spec)).env.rules
        return _on_device(agent, problem), _with_rules(problem, rules, given), True
    if file and name in agent_names():
        cls = plugins.find("agents", name)
        if not hasattr(cls, "from_released"):
            raise UserError(f"agent '{name}' reads no files; write --policy {name}")
        agent = cls.from_released(file)
        return _on_device(agent, problem), _with_rules(problem, agent.rules, given), True
    if "/" in spec and ":" not in spec:
        raise UserError(
            f"no run at '{spec}'; give OUT/runs/AGENT/seed-N of a comparison, OUT of a training, or an agent's name"
        )
    return load_agent(spec), problem, False


def _train(spec: str, agent: Agent, problem: Problem, budget: int, seed: int, status: Status) -> int:
    """Train a named agent; returns the task evaluations that it has spent."""
    spent = Budget(budget, round(budget * problem.steps_per_evaluation))

    def now() -> tuple[str, float]:
        done = spent.task_evaluations
        return f"training {spec}: {done:,} of {budget:,} task evaluations", done / max(1, budget)

    with (
        status.doing(f"training {spec} with budget {budget}", now),
        seal("validation", "test"),
        metering(spent),
        suppress(BudgetExhausted),
    ):
        agent.train(Training(problem.setting("train"), seed, spent))
    return spent.task_evaluations


def load_run(run: Path) -> Agent:
    """Load the policy that a run has made, on the CPU.

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
    if not (run / "row.json").exists():
        raise UserError(f"the run in '{run}' was interrupted; the command that made it goes on (train: with --resume)")
    try:
        return read_json(run / "row.json")["task_evaluations"] == 0
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"'{run}' is no finished run: {error}; run it again") from error


def _on_device(agent: Agent, problem: Problem) -> Agent:
    """Move an agent to where the problem's images will be; saved networks are on the CPU."""
    agent.to(problem.env.device)
    return agent


def _with_rules(problem: Problem, rules: Rules, given: Collection[str]) -> Problem:
    """Return the problem with the policy's own modules and rules; ``UserError`` if the user has asked for others."""
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


def problem_for(
    policy: str,
    file: Source | None,
    overrides: Sequence[str],
    task: str | None,
    data: str | None,
    problem: str | None = None,
) -> Problem:
    """Return what to evaluate on: a config file's problem, else the run's own, else the defaults; then the changes.

    Of the defaults, the data is what suits the task.

    Raises:
        UserError: Naming the first fault.
    """
    changes = [f"{key}={value}" for key, value in (("task", task), ("data", data)) if value is not None]
    if file is not None:
        chosen = only_problem(read_config(file, [*overrides, *changes]), problem)
    else:
        own: dict[str, Any] = {}
        if is_run(policy):
            made = problem_of_run(Path(policy))
            # The scenes that there were are no request for as many of other data.
            own = {**made.flat(), "scenes": {"exact": False}} if data is not None else made.flat()
        chosen = only_problem(CompareConfig.of(override(own, [*overrides, *changes])), problem)
    chosen.check()
    return chosen


def only_problem(config: CompareConfig, name: str | None) -> Problem:
    """Return the config's problem of that name, or its only one; ``UserError`` if that is none."""
    if name is None and config.several:
        raise UserError(f"the config has several problems; choose one with --problem: {', '.join(config.problems)}")
    if name is not None and name not in config.problems:
        raise UserError(f"the config has no problem '{name}'; it has {', '.join(config.problems)}")
    return next(iter(config.problems.values())) if name is None else config.problems[name]


def evaluate_policy(
    policy: str,
    problem: Problem,
    split: str,
    budget: int = 1000,
    overrides: Sequence[str] = (),
    status: Status | None = None,
) -> Row:
    """Evaluate a policy.

    Args:
        policy: Its SPEC, see :func:`isp_gym.benchmark.policy.load_policy`.
        problem: What it is evaluated on.
        split: The scenes.
        budget: Task evaluations to train a named agent with.
        overrides: What the user has changed, ``key=value``; a key that the policy contradicts is an error.
        status: Told what is being done, and how far it is.

    Returns:
        The keys of a row of ``results.json`` that an evaluation has.
    """
    check_split(split)
    status = status or Status()
    seed = seed_everything(0)
    given = {word.partition("=")[0] for word in overrides}
    with status.doing(f"loading {problem.setting(split).num_scenes} {split} scenes of {problem.env.data}"):
        agent, problem, is_trained = find_policy(policy, problem, given)
        problem = problem.counted()
    start = time.perf_counter()
    spent = 0 if is_trained else _train(policy, agent, problem, budget, seed, status)
    seconds = round(time.perf_counter() - start, 2) if spent else 0.0
    evaluation, scenes = _score(agent, problem.setting(split), status)
    return {
        "schema": SCHEMA,
        "problem": problem.name,
        "agent": policy,
        "task": problem.env.task,
        "data": problem.env.data,
        "split": split,
        "seed": 0,
        "metrics": evaluation.metrics,
        "scenes_left_out": evaluation.left_out,
        "task_evaluations": spent,
        "seconds": seconds,
        "controller_parameters": controller_parameters(agent),
        "refused": evaluation.refused,
        "scenes": scene_rows(evaluation, scenes),
        "cost": {"seconds": seconds},
    }


def _score(agent: Agent, setting: EnvConfig, status: Status) -> tuple[Evaluation, SceneSet]:
    scenes, scored = setting.load_scenes(), 0

    def count(so_far: int) -> None:
        nonlocal scored
        scored = so_far

    def now() -> tuple[str, float]:
        return f"scoring {scored} of {len(scenes)} {setting.split} scenes", scored / len(scenes)

    with status.doing(f"scoring {len(scenes)} {setting.split} scenes", now):
        task = setting.make_task().unmetered
        return evaluate(agent, scenes, setting.rules, task, on_batch=count), scenes
