"""The table of a comparison: one line per agent, mean and standard deviation over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

METRIC_TITLES = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "box_map": "box mAP",
    "box_map50": "box mAP.5",
    "box_map75": "box mAP.75",
    "mask_map": "mask mAP",
    "mask_map50": "mask mAP.5",
    "mask_map75": "mask mAP.75",
}


def digits_of(metric: str) -> int:
    """Return how many digits after the point a metric is shown with; all but PSNR are shares of one."""
    return 2 if metric == "psnr" else 3


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation over seeds; no deviation from one seed."""

    mean: float
    std: float | None

    def text(self, digits: int) -> str:
        """Format as ``21.30 ± 0.25``."""
        spread = "" if self.std is None else f" ± {self.std:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"


@dataclass(frozen=True)
class Line:
    """One agent of the table."""

    agent: str
    seeds: int
    metrics: dict[str, Spread]
    task_evaluations: int
    seconds: float
    controller_parameters: int
    regret: Spread | None = None

    def cells(self) -> list[str]:
        """Return the line as text."""
        metrics = [spread.text(digits_of(name)) for name, spread in self.metrics.items()]
        numbers = [f"{self.task_evaluations:,}", f"{self.seconds:,.0f}", f"{self.controller_parameters:,}"]
        regret = [] if self.regret is None else [f"{100 * self.regret.mean:.2f} %"]
        return [self.agent, *metrics, *numbers, *regret]


def summarise(rows: Sequence[dict[str, Any]]) -> list[Line]:
    """Make lines in the order in which the agents appear in ``rows``; evaluations and seconds are means over seeds."""
    return [
        _line(agent, [row for row in rows if row["agent"] == agent])
        for agent in dict.fromkeys(r["agent"] for r in rows)
    ]


def _line(agent: str, rows: Sequence[dict[str, Any]]) -> Line:
    return Line(
        agent,
        len(rows),
        {name: _spread([row["metrics"][name] for row in rows]) for name in rows[0]["metrics"]},
        round(float(np.mean([row["task_evaluations"] for row in rows]))),
        float(np.mean([row["seconds"] for row in rows])),
        rows[0]["controller_parameters"],
        _spread([row["regret"] for row in rows]) if "regret" in rows[0] else None,
    )


def _spread(values: Sequence[float]) -> Spread:
    return Spread(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def headings(lines: Sequence[Line]) -> list[str]:
    """Return the titles of the columns of :meth:`Line.cells`."""
    metrics = [METRIC_TITLES.get(name, name) for name in lines[0].metrics]
    regret = [] if lines[0].regret is None else ["regret"]
    return ["agent", *metrics, "task evaluations", "seconds", "controller parameters", *regret]


def rich_table(lines: Sequence[Line], title: str) -> Table:
    """Make the table for a terminal; names are shown as they are."""
    table = Table(title=escape(title), box=SIMPLE_HEAD, title_justify="left")
    for i, heading in enumerate(headings(lines)):
        # Headings may break between words, cells never: the table fits 80 columns.
        width = max(len(cell) for cell in (*heading.split(), *(line.cells()[i] for line in lines)))
        table.add_column(heading, justify="right" if i else "left", min_width=width)
    for line in lines:
        table.add_row(*map(escape, line.cells()))
    return table
