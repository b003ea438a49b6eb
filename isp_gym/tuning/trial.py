"""What a training of a trial came to: a run that is scored on the validation scenes, as ``isp-gym train`` makes it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from isp_gym.benchmark.plan import POLICY, Plan
from isp_gym.benchmark.results import ROW, finished_row
from isp_gym.tasks import Task


def finished_trial(plan: Plan, folder: Path, task: Task) -> dict[str, Any] | None:
    """Return the result of a finished training if it is the one asked for, otherwise ``None``.

    Args:
        plan: The training, whose ``split`` is ``"validation"``.
        folder: Its own folder.
        task: Says which metric counts.

    Returns:
        ``seed``, ``metric`` and ``score``, ``chosen_at``, ``ended``, ``task_evaluations``, ``scenes_read`` of each
        split, and ``seconds``.
    """
    row = finished_row(plan.digest, folder / ROW)
    if row is None:
        return None
    metric = task.score_in(row["metrics"])
    kept = ("seed", "chosen_at", "ended", "task_evaluations", "scenes_read", "seconds")
    return {"metric": metric, "score": float(row["metrics"][metric]), **{key: row[key] for key in kept}}


def drop_policies(folder: Path) -> None:
    """Remove what a finished training has learned: of a trial, the options are wanted."""
    for name in (POLICY, "points"):
        shutil.rmtree(folder / name, ignore_errors=True)
