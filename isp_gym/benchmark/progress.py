"""What a comparison shows while it runs: a bar per run on a terminal, elsewhere a line a minute."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

import rich.progress as bars
from rich.console import Console
from rich.markup import escape

from isp_gym.benchmark.plan import Plan
from isp_gym.benchmark.results import Row
from isp_gym.benchmark.workers import Worker

EVERY = 60.0
"""Seconds between two lines where there is no terminal."""


class Progress:
    """A bar for each run that is running; where the output is a file or a pipe, a line now and then.

    Args:
        console: Where they are drawn.
        several: Whether there are several problems, so that theirs is said with each run.
        plans: All runs that are to be made.
    """

    def __init__(self, console: Console, several: bool, plans: Sequence[Plan] = ()) -> None:
        columns = (
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
        )
        self._console = console
        self._bars = bars.Progress(*columns, console=console, disable=not console.is_terminal)
        self._several = several
        self._of_run: dict[str, bars.TaskID] = {}
        self._budgets = {_name(plan): plan.problem.budget for plan in plans}
        self._spent: dict[str, int] = {}
        self._ended: set[str] = set()
        self._start = self._said = time.monotonic()

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._bars.stop()

    def update(self, worker: Worker) -> None:
        """Show how far a run is."""
        name = _name(worker.plan)
        if name not in self._of_run:
            title = escape(name if self._several else str(worker.plan))
            self._of_run[name] = self._bars.add_task(title, total=worker.plan.problem.budget)
        self._spent[name] = worker.spent.value
        self._bars.update(self._of_run[name], completed=worker.spent.value)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._said >= EVERY:
            self._said = now
            self._console.print(self._line(now - self._start), highlight=False, markup=False, soft_wrap=True)

    def end(self, worker: Worker) -> None:
        """Show how far a run came."""
        self.update(worker)
        self._ended.add(_name(worker.plan))

    def show(self, row: Row | None) -> None:
        """Print the scores of a run that has ended."""
        if row is None:
            return
        scores = "  ".join(f"{key} {value:.4g}" for key, value in row["metrics"].items())
        how = "" if row["ended"] in ("agent", "budget") else f", ended by {row['ended']}"
        name = f"{row['problem']} {row['agent']}" if self._several else row["agent"]
        line = f"{name} seed {row['seed']}: {scores}  ({row['cost']['seconds']:.0f} s{how})"
        self._console.print(line, highlight=False, markup=False)

    def _line(self, seconds: float) -> str:
        """Say how many runs are done, what is spent, and how long the rest takes at the pace so far."""
        spent, total = sum(self._spent.values()), sum(self._budgets.values())
        to_spend = sum(n - self._spent.get(name, 0) for name, n in self._budgets.items() if name not in self._ended)
        line = f"{len(self._ended)} of {len(self._budgets)} runs done, {spent:,} of {total:,} task evaluations spent"
        if not spent:
            return line
        minutes = seconds * to_spend / spent / 60
        return f"{line}, about {minutes:.0f} min left" if minutes >= 1 else f"{line}, less than a minute left"


def _name(plan: Plan) -> str:
    return f"{plan.problem.name} {plan}"
