"""What a comparison shows while it runs: a bar per run, and a line when it has ended."""

from __future__ import annotations

from types import TracebackType

import rich.progress as bars
from rich.console import Console
from rich.markup import escape

from isp_gym.benchmark.results import Row
from isp_gym.benchmark.workers import Worker


class Progress:
    """A bar for each run that is running.

    Args:
        console: Where they are drawn.
        several: Whether there are several problems, so that theirs is said with each run.
    """

    def __init__(self, console: Console, several: bool) -> None:
        columns = (
            bars.TextColumn("{task.description}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
        )
        self._console, self._bars = console, bars.Progress(*columns, console=console)
        self._several = several
        self._of_run: dict[str, bars.TaskID] = {}

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._bars.stop()

    def update(self, worker: Worker) -> None:
        """Show how far a run is."""
        name = f"{worker.plan.problem.name} {worker.plan}"
        if name not in self._of_run:
            title = escape(name if self._several else str(worker.plan))
            self._of_run[name] = self._bars.add_task(title, total=worker.plan.problem.budget)
        self._bars.update(self._of_run[name], completed=worker.spent.value)

    def end(self, worker: Worker) -> None:
        """Show how far a run came."""
        self.update(worker)

    def show(self, row: Row | None) -> None:
        """Print the scores of a run that has ended."""
        if row is None:
            return
        scores = "  ".join(f"{key} {value:.4g}" for key, value in row["metrics"].items())
        how = "" if row["ended"] in ("agent", "budget") else f", ended by {row['ended']}"
        name = f"{row['problem']} {row['agent']}" if self._several else row["agent"]
        line = f"{name} seed {row['seed']}: {scores}  ({row['cost']['seconds']:.0f} s{how})"
        self._console.print(line, highlight=False, markup=False)
