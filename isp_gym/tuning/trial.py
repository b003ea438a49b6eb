"""One training of a trial: as a run of a comparison, but scored on the validation scenes and never tested."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from isp_gym.benchmark.files import read_json, write_json
from isp_gym.benchmark.plan import Plan
from isp_gym.benchmark.run_context import Run

TRIAL = "trial.json"


def run_trial(plan: Plan, folder: Path, on_start: Callable[[Run], None] = lambda context: None) -> dict[str, Any]:
    """Train one agent with one seed, and score the best point of its curve on the validation scenes.

    Args:
        plan: What to run.
        folder: Its own folder; a checkpoint in it is gone on from, anything else is made anew.
        on_start: As for :func:`isp_gym.benchmark.run.run`.

    Returns:
        What ``trial.json`` in ``folder`` holds: ``seed``, ``score`` and its ``metric``, ``chosen_at``, ``ended``,
        ``task_evaluations``, ``scenes_read`` of each split, and ``seconds``.

    Raises:
        UserError: The agent did something that it may not.
        Stopped: The user has asked for an end; the training has saved itself.
    """
    context = Run(plan, folder)
    if context.checkpoints.latest() is None:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    plan.write_card(folder)
    on_start(context)
    with context.open():
        agent = plan.make_agent()
        ended = context.train(agent)
        context.finish(agent, ended)
        curve = context.curve
        if not curve.points:  # it has spent nothing
            curve.measure(agent, 0)
    # As in a comparison: what cannot be saved can only be what it is in the end.
    point = curve.best() if agent.can_be_saved else curve.points[-1]
    metric = curve.task.score_in(point)
    result = {
        "seed": plan.seed,
        "metric": metric,
        "score": float(point[metric]),
        "chosen_at": point["task_evaluations"],
        "ended": ended,
        "task_evaluations": context.budget.spent.task_evaluations,
        "scenes_read": {split: context.reads.counts.get(split, 0) for split in ("train", "validation", "test")},
        "seconds": round(context.seconds, 2),
    }
    write_json(folder / TRIAL, result)
    context.checkpoints.clear()
    shutil.rmtree(curve.folder, ignore_errors=True)  # the policies: what is wanted are the options
    return result


def finished_trial(plan: Plan, folder: Path) -> dict[str, Any] | None:
    """Return the result of a finished training if it is the one asked for, otherwise ``None``."""
    try:
        return read_json(folder / TRIAL) if plan.is_card_of(folder) else None
    except (OSError, ValueError):
        return None
