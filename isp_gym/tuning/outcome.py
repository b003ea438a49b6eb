"""What comes of tuning: the best options as a config to lay over another, all trials, and lines for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import isp_gym
from isp_gym.benchmark.config import CompareConfig
from isp_gym.benchmark.files import write_json, write_text
from isp_gym.benchmark.plan import folder_name
from isp_gym.tuning.space import with_option
from isp_gym.tuning.study import Study

BEST, ALL = "best.yaml", "trials.json"


def write_outcome(studies: Sequence[Study], config: CompareConfig, out: Path) -> dict[str, Any]:
    """Write ``trials.json``, and ``best.yaml``: one, or one for each problem, ``best-PROBLEM.yaml``, if it has several.

    Returns:
        The content of ``trials.json``: ``isp_gym``, ``config``, ``best`` (a row of :func:`summary` for each study) and
        ``trials``.
    """
    outcome: dict[str, Any] = {
        "isp_gym": isp_gym.__version__,
        "config": config.flat(),
        "best": [row for study in studies if (row := summary(study)) is not None],
        "trials": [row for study in studies for row in study.rows()],
    }
    write_json(out / ALL, outcome)
    for problem in config.problems:
        rows = [row for row in outcome["best"] if row["problem"] == problem]
        if rows:
            write_text(out / (f"best-{folder_name(problem)}.yaml" if config.several else BEST), overlay(rows))
    return outcome


def summary(study: Study) -> dict[str, Any] | None:
    """Return what a study has found, with what it has cost; ``None`` before its first trial."""
    rows = study.rows()
    if not rows:
        return None
    best = max(rows, key=lambda row: -float("inf") if row["score"] is None else row["score"])  # the first of equals
    return {
        "problem": best["problem"],
        "agent": best["agent"],
        "metric": best["metric"],
        "score": best["score"],
        "default_score": rows[0]["score"],
        "trial": best["trial"],
        "values": best["values"],
        "trials": len(rows),
        "failed": sum(row["score"] is None for row in rows),
        "task_evaluations": sum(row["task_evaluations"] for row in rows),
    }


def overlay(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the best options of one problem's agents as YAML to lay over the config."""
    agents = {}
    head = "# The best options on the validation scenes: isp-gym compare --config BASE --config THIS\n"
    for row in rows:
        options: dict[str, Any] = {}
        for name, value in row["values"].items():
            options = with_option(options, name, value)
        agents[row["agent"]] = options
        head += (
            f"# {row['agent']}: {row['metric']} {row['score']:.4g}, untuned {row['default_score']:.4g}; "
            f"{row['trials']} trials, {row['task_evaluations']} task evaluations\n"
        )
    return head + yaml.safe_dump({"agents": agents}, sort_keys=False)


def line_of(study: Study) -> str:
    """Return the last trial in a line: its score, the best so far, and its values."""
    rows, name = study.rows(), study.subject.name
    if study.fault:
        return f"{name} failed: {study.fault}"
    last, best = rows[-1], summary(study)
    values = ", ".join(f"{option}={_text(value)}" for option, value in last["values"].items())
    found = f"failed: {last['error']}" if last["score"] is None else f"{last['metric']} {last['score']:.4g}"
    what = "as it stands" if not last["trial"] else values
    return f"{name} trial {last['trial']}: {found} (best {best['score']:.4g})  {what}" if best else name


def table(outcome: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the summary as rows for people."""
    return [
        {
            "problem": row["problem"],
            "agent": row["agent"],
            "metric": row["metric"],
            "untuned": f"{row['default_score']:.4g}",
            "tuned": f"{row['score']:.4g}",
            "trials": f"{row['trials']}" + f" ({row['failed']} failed)" * bool(row["failed"]),
            "task evaluations": f"{row['task_evaluations']:,}",
            "best options": "\n".join(f"{option}: {_text(value)}" for option, value in row["values"].items()),
        }
        for row in outcome["best"]
    ]


def _text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
