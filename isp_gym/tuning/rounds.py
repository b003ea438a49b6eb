"""A round of trials: the next one of each study, in processes of their own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from isp_gym.benchmark.checkpoints import Checkpoints
from isp_gym.benchmark.files import write_text
from isp_gym.benchmark.plan import Plan
from isp_gym.benchmark.progress import Progress
from isp_gym.benchmark.workers import Worker, run_all
from isp_gym.errors import UserError
from isp_gym.tuning.outcome import line_of
from isp_gym.tuning.study import Study
from isp_gym.tuning.trial import drop_policies, finished_trial


@dataclass
class _Trial:
    """A trial that is being run.

    Attributes:
        study: That asks for it.
        values: Of the tuned options.
        places: The training of each seed, and its folder.
        error: Why it failed, if it did.
        spent: Task evaluations of trainings that ended now.
    """

    study: Study
    values: dict[str, Any]
    places: list[tuple[Plan, Path]]
    error: str = ""
    spent: dict[Path, int] = field(default_factory=dict)

    def tell(self) -> None:
        """Tell the study what came of it."""
        found = [finished_trial(plan, place, self.study.subject.task) for plan, place in self.places]
        results = [result for result in found if result is not None]
        failed = [place for (_, place), result in zip(self.places, found, strict=True) if result is None]
        spent = sum(result["task_evaluations"] for result in results) + sum(
            self.spent.get(place, 0) for place in failed
        )
        self.study.tell(self.values, results, self.error, spent)


def run_round(studies: Sequence[Study], folder: Path, jobs: int, progress: Progress, console: Console) -> None:
    """Run the next trial of each study.

    Args:
        studies: All that are not finished.
        folder: Where trials are kept; a training in it that is finished or cut off is gone on from.
        jobs: Trainings at a time.
        progress: Shows those that are running.
        console: Told of each trial in a line.

    Raises:
        Interrupted: The user has asked for an end; trainings have saved themselves.
        UserError: A training was asked to stop.
    """
    trials = [_asked(study, folder) for study in studies]
    owner = {place: trial for trial in trials for _, place in trial.places}

    def on_end(worker: Worker, said: tuple[str, ...]) -> None:
        progress.end(worker)
        if said[0] == "stopped":
            raise UserError("a trial was asked to stop, and saved itself; the same command goes on")
        trial = owner[worker.folder]
        trial.spent[worker.folder] = worker.spent.value
        if said[0] == "failed":
            trial.error = trial.error or _failure(worker, said)
        else:
            drop_policies(worker.folder)

    todo = [
        (plan, place)
        for trial in trials
        for plan, place in trial.places
        if finished_trial(plan, place, trial.study.subject.task) is None
    ]
    for plan, place in todo:
        if place.exists() and not plan.is_card_of(place):  # of an earlier search that asked for other values
            shutil.rmtree(place)
    run_all(todo, jobs, progress.update, on_end)
    for trial in trials:
        trial.tell()
        console.print(line_of(trial.study), highlight=False, markup=False, soft_wrap=True)


def _asked(study: Study, folder: Path) -> _Trial:
    values, subject = study.ask(), study.subject
    plans = [subject.plan(values, seed) for seed in subject.seeds]
    place = subject.folder(folder, len(study.done))
    return _Trial(study, values, [(plan, place / f"seed-{plan.seed}") for plan in plans])


def _failure(worker: Worker, said: tuple[str, ...]) -> str:
    """What went wrong; the traceback, if there is one, is kept in the training's folder."""
    if not said[2]:
        return said[1]
    # What an agent raised it would raise again: from the beginning, in case its code is changed meanwhile.
    Checkpoints(worker.folder / "checkpoints", worker.plan.keep).clear()
    write_text(worker.folder / "error.txt", f"{said[1]}\n{said[2]}")
    return f"{said[1]} (traceback in {worker.folder / 'error.txt'})"
