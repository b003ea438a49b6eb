"""``isp-gym evaluate``: one policy on the scenes of one split."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isp_gym.benchmark.config import CompareConfig, read_config
from isp_gym.benchmark.evaluation import evaluate
from isp_gym.benchmark.policy import is_run, load_policy, problem_of_run
from isp_gym.benchmark.problem import Problem
from isp_gym.benchmark.random_state import seed_everything
from isp_gym.benchmark.results import SCHEMA, Row
from isp_gym.benchmark.run import controller_parameters, scene_rows
from isp_gym.config import override
from isp_gym.config_files import Source
from isp_gym.data.splits import check_split
from isp_gym.errors import UserError


def problem_for(
    policy: str,
    file: Source | None,
    overrides: Sequence[str],
    task: str | None,
    data: str | None,
    problem: str | None = None,
) -> Problem:
    """What to evaluate on: a config file's problem, else the run's own, else the defaults; then the changes.

    Of the defaults, the data is what suits the task.

    Raises:
        UserError: Naming the first fault.
    """
    changes = [f"{key}={value}" for key, value in (("task", task), ("data", data)) if value is not None]
    if file is not None:
        chosen = _only(read_config(file, [*overrides, *changes]), problem)
    else:
        own: dict[str, Any] = {}
        if is_run(policy):
            made = problem_of_run(Path(policy))
            # The scenes that there were are no request for as many of other data.
            own = {**made.flat(), "scenes": {"exact": False}} if data is not None else made.flat()
        chosen = _only(CompareConfig.of(override(own, [*overrides, *changes])), problem)
    chosen.check()
    return chosen


def _only(config: CompareConfig, name: str | None) -> Problem:
    if name is None and config.several:
        raise UserError(f"the config has several problems; choose one with --problem: {', '.join(config.problems)}")
    if name is not None and name not in config.problems:
        raise UserError(f"the config has no problem '{name}'; it has {', '.join(config.problems)}")
    return next(iter(config.problems.values())) if name is None else config.problems[name]


def evaluate_policy(
    policy: str, problem: Problem, split: str, budget: int = 1000, overrides: Sequence[str] = ()
) -> Row:
    """Evaluate a policy.

    Args:
        policy: Its SPEC, see :func:`isp_gym.benchmark.policy.load_policy`.
        problem: What it is evaluated on.
        split: The scenes.
        budget: Task evaluations to train a named agent with.
        overrides: What the user has changed, ``key=value``; a key that the policy contradicts is an error.

    Returns:
        The keys of a row of ``results.json`` that an evaluation has.
    """
    check_split(split)
    seed = seed_everything(0)
    start = time.perf_counter()
    given = {word.partition("=")[0] for word in overrides}
    agent, problem, spent = load_policy(policy, problem.counted(), budget, seed, given)
    seconds = round(time.perf_counter() - start, 2) if spent else 0.0
    setting = problem.setting(split)
    scenes = setting.load_scenes()
    tested = evaluate(agent, scenes, setting.rules, setting.make_task().unmetered)
    return {
        "schema": SCHEMA,
        "problem": problem.name,
        "agent": policy,
        "task": problem.env.task,
        "data": problem.env.data,
        "split": split,
        "seed": 0,
        "metrics": tested.metrics,
        "scenes_left_out": tested.left_out,
        "task_evaluations": spent,
        "seconds": seconds,
        "controller_parameters": controller_parameters(agent),
        "refused": 0 if tested.pipelines is None else int(tested.pipelines.refused.sum()),
        "scenes": scene_rows(tested, scenes),
        "cost": {"seconds": seconds},
    }
