"""Runs in processes of their own, several at a time, with a progress bar each."""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from isp_gym.benchmark.config import CompareConfig
from isp_gym.benchmark.run import Row, run
from isp_gym.errors import UserError

_ERROR = "error.txt"


@dataclass
class _Job:
    agent: str
    seed: int
    folder: Path
    bar: TaskID
    spent: Any  # a shared counter of task evaluations
    process: Any


def run_all(config: CompareConfig, folder: Path, jobs: int, console: Console) -> list[Row]:
    """Run every agent with every seed.

    Args:
        config: The comparison.
        folder: Each run writes to ``folder/AGENT/seed-N``.
        jobs: Processes at a time.
        console: Where the progress bars go.

    Returns:
        The rows in the config's order, whatever order the runs ended in.

    Raises:
        UserError: A run failed or was killed; the others are stopped then.
    """
    with _progress(console) as progress:
        waiting = [_make(config, agent, seed, folder, progress) for agent in config.agents for seed in config.seeds]
        everything = list(waiting)
        running: list[_Job] = []
        try:
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(waiting.pop(0))
                    running[-1].process.start()
                time.sleep(0.1)
                for job in list(running):
                    progress.update(job.bar, completed=job.spent.value, visible=True)
                    if not job.process.is_alive():
                        running.remove(job)
                        _finish(job, console)
        finally:
            for job in running:
                job.process.terminate()
    return [json.loads((job.folder / "row.json").read_text()) for job in everything]


def _make(config: CompareConfig, agent: str, seed: int, folder: Path, progress: Progress) -> _Job:
    # A fork server imports torch once and forks clean children; plain fork is not safe under torch's threads.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    context.set_forkserver_preload(["isp_gym.benchmark.run"])
    own = folder / agent / f"seed-{seed}"
    spent = context.Value("q", 0)
    process = context.Process(target=_work, args=(config, agent, seed, own, spent), daemon=True)  # type: ignore[attr-defined]
    bar = progress.add_task(f"{agent} seed {seed}", total=config.budget, visible=False)
    return _Job(agent, seed, own, bar, spent, process)


def _work(config: CompareConfig, agent: str, seed: int, folder: Path, spent: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; it ends its children

    def on_progress(task_evaluations: int) -> None:
        spent.value = task_evaluations

    try:
        run(config, agent, seed, folder, on_progress)
    except Exception as error:
        folder.mkdir(parents=True, exist_ok=True)
        where = "" if isinstance(error, UserError) else f" (traceback in {folder / _ERROR})"
        (folder / _ERROR).write_text(f"{type(error).__name__}: {error}{where}\n{traceback.format_exc()}")
        raise SystemExit(1) from error


def _finish(job: _Job, console: Console) -> None:
    name = f"agent '{job.agent}', seed {job.seed}"
    if job.process.exitcode == 0:
        row = json.loads((job.folder / "row.json").read_text())
        scores = "  ".join(f"{key} {value:.4g}" for key, value in row["metrics"].items())
        console.print(f"{job.agent} seed {job.seed}: {scores}  ({row['seconds']:.0f} s)", highlight=False)
        return
    error = job.folder / _ERROR
    if error.exists():
        raise UserError(f"{name} failed: {error.read_text().splitlines()[0]}")
    raise UserError(f"{name} was killed (exit code {job.process.exitcode}); is there enough memory? try --jobs 1")


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        yield progress
