"""What row, curve and run log say of each other: budgets and points, and each point's saved policy, asked again."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from isp_gym.benchmark.evaluation import evaluate
from isp_gym.benchmark.files import digest_of, digest_of_folder, read_json
from isp_gym.benchmark.plan import read_card
from isp_gym.benchmark.problem import Problem
from isp_gym.benchmark.results import ROW, Row, row_digest
from isp_gym.benchmark.run_context import LOG, READS
from isp_gym.benchmark.tolerance import differs
from isp_gym.data import ReadLog
from isp_gym.errors import UserError
from isp_gym.plugins import Untrusted


def compare_log(row: Row, problem: Problem, run: Path, scenes: Any) -> list[str] | None:
    """List what is wrong with budget and curve; ``None`` if the run's log is not at hand and the row is sound."""
    faults = _row_faults(row, problem)
    log = _read_log(run / LOG) if (run / LOG).is_file() else None
    if log is not None:
        faults += _log_faults(row, log)
        faults += _folder_faults(row, problem, run)
        if scenes.whole and row["policy"] is not None:
            with suppress(Untrusted):  # the row's own policy has said so
                faults += _curve_faults(row, problem, run)
    return None if log is None and not faults else [f"log: {fault}" for fault in faults]


def _row_faults(row: Row, problem: Problem) -> list[str]:
    spent = row["task_evaluations"]
    faults = []
    if spent > problem.budget:
        faults.append(f"{spent} task evaluations were spent of {problem.budget}")
    points = [point["task_evaluations"] for point in row["curve"]]
    if points != sorted(set(points)) or (points and points[-1] != spent):
        faults.append(f"the curve's points at {points} do not lead to {spent} task evaluations")
    return faults


def _read_log(path: Path) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"the run log '{path}' is damaged: {error}") from error


def _log_faults(row: Row, log: list[dict[str, Any]]) -> list[str]:
    ends = [record for record in log if "ended" in record]
    if not ends:
        return ["the run log has no end"]
    counts = ("ended", "task_evaluations", "gradient_evaluations", "env_steps", "module_megapixels")
    faults = [
        f"{key} is {row[key]}, and in the run log {ends[-1].get(key)}"
        for key in counts
        if row[key] != ends[-1].get(key)
    ]
    points = {record["point"]["task_evaluations"]: record["point"] for record in log if "point" in record}
    if points.keys() != {point["task_evaluations"] for point in row["curve"]}:
        faults.append(f"the run log has points at {sorted(points)}")
    for point in row["curve"]:
        logged = points.get(point["task_evaluations"], {})
        # The test curve is computed when the log is closed.
        shown = {key: value for key, value in point.items() if not key.startswith("test_")}
        if logged != shown:
            faults.append(f"the curve's point at {point['task_evaluations']} is not the one in the run log")
    return faults


def _folder_faults(row: Row, problem: Problem, run: Path) -> list[str]:
    """List where the other files of the run say something else than the row."""
    faults, card = [], read_card(run, ("name", "seed", "config"))
    if (card["name"], card["seed"]) != (row["agent"], row["seed"]):
        faults.append(f"the run's metadata are of {card['name']} seed {card['seed']}")
    if digest_of(card["config"]) != digest_of(problem.flat()):
        faults.append("the run's metadata have another config")
    try:
        same = row_digest(read_json(run / ROW)) == row["digest"]
    except (OSError, ValueError, AttributeError):
        same = False
    if not same:
        faults.append("the run's own row is another one, or damaged")
    reads = ReadLog(run / READS)
    if not set(row["train_scenes_read"]) <= set(reads.ids("train")) or any(
        reads.counts[split] != row["scenes_read"].get(split) for split in ("validation", "test")
    ):
        faults.append("the run's record of scenes read is another one")
    if row["policy"] is not None:
        places = [run / "points" / str(point["task_evaluations"]) for point in row["curve"]]
        faults += [f"the policy of the curve's point at {place.name} is gone" for place in places if not place.is_dir()]
        chosen = run / "points" / str(row["chosen_at"])
        if row["chosen_at"] is not None and chosen.is_dir() and digest_of_folder(chosen) != row["policy"]:
            faults.append(f"the policy is not that of the curve's point at {row['chosen_at']}")
    return faults


def _curve_faults(row: Row, problem: Problem, run: Path) -> list[str]:
    """List where a point's saved policy scores otherwise on the validation scenes, or on the test scenes."""
    from isp_gym.benchmark.agent import load_agent

    card, faults = read_card(run), []
    score = problem.setting("validation").make_task().score_in(row["metrics"])
    for point in row["curve"]:
        folder = run / "points" / str(point["task_evaluations"])
        if not folder.is_dir():
            continue
        agent = load_agent(card["agent"], card["options"])
        agent.load(folder)
        agent.to(problem.env.device)
        for split, key in (("validation", score), ("test", f"test_{score}")):
            if key not in point:
                continue
            setting = problem.setting(split)
            now = evaluate(agent, setting.load_scenes(), setting.rules, setting.make_task().unmetered).metrics[score]
            if fault := differs(score, point[key], now):
                faults.append(f"the curve's point at {point['task_evaluations']}, {split}: {fault}")
    return faults
