"""A comparison: all runs of a config, side by side, and the results in one folder."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import isp_gym
from isp_gym.benchmark.checkpoints import Checkpoints
from isp_gym.benchmark.config import CompareConfig
from isp_gym.benchmark.files import default_jobs, write_json, write_text
from isp_gym.benchmark.oracle_file import load_oracle
from isp_gym.benchmark.out_folder import OutFolder
from isp_gym.benchmark.plan import Plan, folder_name, plans_of
from isp_gym.benchmark.problem import Problem
from isp_gym.benchmark.progress import Progress
from isp_gym.benchmark.provenance import machine
from isp_gym.benchmark.report import BRIGHTER, write_report
from isp_gym.benchmark.results import ROW, SCHEMA, Row, finished_row
from isp_gym.benchmark.run import write_png
from isp_gym.benchmark.workers import Worker, run_all
from isp_gym.data import SPLITS, data_card
from isp_gym.errors import UserError
from isp_gym.interrupts import Interrupted

RESULTS = "results.json"
_READ_AHEAD = 128  # scenes of each split that are read before the start, so that thousands start in seconds


def compare(
    config: CompareConfig,
    out: Path,
    jobs: int | None = None,
    console: Console | None = None,
    resume: bool = False,
) -> dict[str, Any]:
    """Run every agent with every seed on every problem, evaluate on the test scenes, and write the results.

    Everything is written to ``OUT.partial`` and moved to ``OUT`` when it is complete; an earlier comparison in ``OUT``
    is kept as ``OUT.1``, ``OUT.2``, ... What an interrupted comparison has left in ``OUT.partial`` is gone on from:
    finished runs of the same configuration, data and package version are taken as they are, unfinished ones go on from
    their last checkpoint, and others are moved to ``OUT.partial/set-aside``.

    Args:
        config: A checked config.
        out: The folder to write: ``results.json``, ``report.html``, ``runs/AGENT/seed-N/``.
        jobs: Runs at a time, one process each; ``None`` for one per CPU core.
        console: Where progress is shown.
        resume: Also take up what a complete comparison in ``OUT`` has, so that only what is new is computed.

    Returns:
        The content of ``results.json``.

    Raises:
        UserError: ``out`` holds something else than results, or agents failed; what has finished is kept in
            ``OUT.partial``, with a report of it.
    """
    console, folder, start = console or Console(), OutFolder(out), time.perf_counter()
    for problem in config.problems.values():
        for split in SPLITS:
            try_scenes(problem.setting(split))
    config = replace(config, problems={name: problem.counted() for name, problem in config.problems.items()})
    cards = {name: _data_card(problem) for name, problem in config.problems.items()}
    for problem in config.problems.values():
        if problem.oracle.file:
            load_oracle(problem.oracle.file, problem.setting("train"))
    plans = plans_of(config, {name: card["checksums"] for name, card in cards.items()})
    with folder.held(resume) as partial:
        places = [(plan, plan.folder(partial / "runs", config.several)) for plan in plans]
        failures = _run(places, folder, jobs or default_jobs(), console)
        rows = [row for plan, place in places if (row := finished_row(plan.digest, place / ROW)) is not None]
        results = {
            "schema": SCHEMA,
            "isp_gym": isp_gym.__version__,
            "machine": machine(),
            "config": config.flat(),
            "data": cards,
            "rows": rows,
            "failures": failures,
            "cost": {"wall_clock_seconds": round(time.perf_counter() - start, 1), "jobs": jobs or default_jobs()},
        }
        _write(results, config, partial)
        if failures:
            first = failures[0]["error"]
            more = f" (and {len(failures) - 1} more runs failed)" if len(failures) > 1 else ""
            raise UserError(f"{first}{more}; the {len(rows)} finished runs are in '{partial}', with a report")
        earlier = folder.publish()
    if earlier is not None:
        console.print(f"the earlier run is kept in {earlier}", highlight=False, soft_wrap=True)
    return results


def _run(places: list[tuple[Plan, Path]], folder: OutFolder, jobs: int, console: Console) -> list[dict[str, Any]]:
    """Run what is not finished; return of each run that failed the problem, agent, seed and error."""
    failures: list[dict[str, Any]] = []
    todo = [(plan, place) for plan, place in places if not _is_finished(plan, place, folder)]
    if len(todo) < len(places):
        console.print(f"{len(places) - len(todo)} of {len(places)} runs are finished already", highlight=False)

    def on_end(worker: Worker, said: tuple[str, ...]) -> None:
        progress.end(worker)
        if said[0] == "done":
            progress.show(finished_row(worker.plan.digest, worker.folder / ROW))
        else:
            failures.append(failure_of(worker, said))

    several = len({plan.problem.name for plan, _ in places}) > 1
    # Configs list what is quick first, and learners last: begun at the end, the longest runs leave no core idle there.
    first = todo[::-1] if jobs > 1 else todo
    with Progress(console, several, [plan for plan, _ in todo]) as progress:
        try:
            run_all(first, jobs, progress.update, on_end)
        except Interrupted as error:
            done = sum(finished_row(plan.digest, place / ROW) is not None for plan, place in places)
            raise error.saying(
                f"interrupted; {done} of {len(places)} runs are finished and kept in '{folder.partial}': "
                "the same command goes on from there"
            ) from None
    return failures


def _is_finished(plan: Plan, place: Path, folder: OutFolder) -> bool:
    """Tell whether a run need not be run again; another one that is in its place, or a changed one, is moved aside."""
    if finished_row(plan.digest, place / ROW) is not None:
        return True
    if place.exists() and ((place / ROW).exists() or not plan.is_card_of(place)):
        folder.set_aside(place)
    return False


def failure_of(worker: Worker, said: tuple[str, ...]) -> dict[str, Any]:
    """Say what went wrong, for results and for the user; a traceback is kept in the run's folder."""
    plan = worker.plan
    if said[0] == "stopped":
        said = ("failed", "its process was asked to stop, and saved itself; the same command goes on", "")
    error = f"agent '{plan.agent}', seed {plan.seed} failed: {said[1]}"
    if said[2]:
        # What an agent raised it would raise again: from the beginning, in case its code is changed meanwhile.
        Checkpoints(worker.folder / "checkpoints", plan.keep).clear()
        path = worker.folder / "error.txt"
        try:
            write_text(path, f"{said[1]}\n{said[2]}")
            error += f" (traceback in {path})"
        except OSError as fault:
            error += f" ({fault.strerror})"
    return {"problem": plan.problem.name, "agent": plan.agent, "seed": plan.seed, "error": error}


@torch.no_grad()
def try_scenes(setting: Any) -> None:
    """Score and measure one scene, and read some: what is unreadable or does not suit the task is found now."""
    scenes = setting.load_scenes()
    batch = scenes.batch([0])
    task = setting.make_task().unmetered
    task.loss(batch.images, batch)
    task.metric().update(batch.images, batch)
    for start in range(0, min(len(scenes), _READ_AHEAD), 16):
        scenes.batch(range(start, min(start + 16, len(scenes))))


def _data_card(problem: Problem) -> dict[str, Any]:
    return data_card(problem.setting(split).load_scenes() for split in SPLITS)


def _write(results: dict[str, Any], config: CompareConfig, partial: Path) -> None:
    if not results["rows"]:
        return
    for problem in config.problems.values():
        _write_references(problem, config.pictures, partial / "scenes")
    write_json(partial / RESULTS, results)
    write_report(results, partial)


def _write_references(problem: Problem, pictures: int, folder: Path) -> None:
    """Write input and target of the scenes that the report shows, with ground truth and the task's predictions."""
    setting = problem.setting("test")
    scenes, task = setting.load_scenes(), setting.make_task()
    folder.mkdir(exist_ok=True)
    for i in range(min(pictures, len(scenes))):
        scene = scenes.batch([i])
        name = f"{folder_name(problem.name)}-test-{i}"
        write_png(folder / f"{name}-input.png", task.draw_ground_truth(scene.images * BRIGHTER, scene)[0])
        if scene.targets is not None:
            write_png(folder / f"{name}-target.png", task.draw_predictions(scene.targets)[0])


__all__ = ["RESULTS", "Row", "compare"]
