"""Paired differences between agents, with intervals over photographs and runs; ``docs/statistics.md`` says why so."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from isp_gym.errors import UserError, unknown

Row = Mapping[str, Any]
_SceneKey = tuple[str, str]  # the scene's id and its photograph


@dataclass(frozen=True)
class Difference:
    """Difference of agent ``a`` to agent ``b`` on the same test scenes.

    Attributes:
        metric: What is compared.
        a: The one agent.
        b: The other, which is subtracted.
        mean: Mean of a - b over scenes and seeds, in the metric's unit.
        low: Lower end of the interval for ``mean``, or ``None``, see ``reason``.
        high: Its upper end, or ``None``.
        level: Nominal coverage of the interval.
        photos: How many photographs the scenes are from.
        scenes: How many scenes are compared.
        left_out: How many are not, because a run of ``a`` or ``b`` has no such metric there.
        seeds_a: Runs of ``a``.
        seeds_b: Runs of ``b``.
    """

    metric: str
    a: str
    b: str
    mean: float
    low: float | None
    high: float | None
    level: float
    photos: int
    scenes: int
    left_out: int
    seeds_a: int
    seeds_b: int

    def text(self, digits: int) -> str:
        """Return it as ``+1.25 [0.80, 1.71]``; without an interval as ``+1.25``."""
        mean = f"{_rounded(self.mean, digits):+.{digits}f}"
        if self.low is None or self.high is None:
            return mean
        return f"{mean} [{_rounded(self.low, digits):.{digits}f}, {_rounded(self.high, digits):.{digits}f}]"

    @property
    def reason(self) -> str | None:
        """Say why there is no interval; ``None`` if there is one."""
        if self.low is not None:
            return None
        return "No interval: all test scenes are from one photograph, which says nothing of others"

    @property
    def per_scene_note(self) -> str | None:
        """Say what the values of single scenes are, where they do not average to the metric of the data set."""
        if not self.metric.startswith(("box_map", "mask_map")):
            return None
        return f"Here {self.metric} is the mean of single images' average precisions, not the data set's mAP"

    @property
    def notes(self) -> list[str]:
        """List all that must be said beside the numbers, a sentence each."""
        single = [name for name, seeds in ((self.a, self.seeds_a), (self.b, self.seeds_b)) if seeds == 1]
        lone = (f"Only one seed of {name}: how its runs vary is not in the interval" for name in single)
        found = [self.reason, *lone]
        if self.left_out:
            found.append(f"{self.left_out} of {self.scenes + self.left_out} scenes have no {self.metric}")
        return [note for note in (*found, self.per_scene_note) if note is not None]


def paired_difference(rows_a: Sequence[Row], rows_b: Sequence[Row], metric: str, *, level: float = 0.95) -> Difference:
    """Compare two agents scene by scene.

    Photographs and runs are both samples: the interval is for the mean over all photographs and runs like these. It
    needs no random numbers. An agent that does not learn has equal rows for all seeds, and adds no variance of runs.

    Args:
        rows_a: Rows of one agent on one problem, one a seed: ``agent``, ``seed`` and ``scenes``, a list of
            ``{"scene": id, "photo": name, metric: value}``.
        rows_b: Rows of the other on the same scenes; their seeds may be others.
        metric: Key of the value to compare. Scenes that lack it in any row are left out.
        level: Nominal coverage of the interval, between 0 and 1.

    Raises:
        UserError: An agent has no rows, or two for one seed; the scenes differ, or one occurs twice in a row; or no
            scene has the metric in all rows.
    """
    tables_a, tables_b = _tables(rows_a), _tables(rows_b)
    a, b = rows_a[0]["agent"], rows_b[0]["agent"]
    tables = [*((a, table) for table in tables_a), *((b, table) for table in tables_b)]
    _check_same_scenes(tables)
    shared = sorted(tables_a[0])
    keys = [key for key in shared if all(metric in table[key] for _, table in tables)]
    if not keys:
        raise UserError(f"no test scene has {metric} for both '{a}' and '{b}'; choose a metric that their rows hold")
    values_a, values_b = (
        np.array([[table[key][metric] for key in keys] for table in of_agent]) for of_agent in (tables_a, tables_b)
    )
    mean = float(values_a.mean() - values_b.mean())
    photos, photo_of_scene = np.unique([photo for _, photo in keys], return_inverse=True)
    half = _half_width(values_a, values_b, photo_of_scene, level) if len(photos) > 1 else None
    low, high = (None, None) if half is None else (mean - half, mean + half)
    counts = len(photos), len(keys), len(shared) - len(keys), len(rows_a), len(rows_b)
    return Difference(metric, a, b, mean, low, high, level, *counts)


def differences(
    rows: Sequence[Row],
    metric: str,
    reference: str | None = None,
    *,
    level: float = 0.95,
    lower_is_better: bool = False,
) -> dict[str, list[Difference]]:
    """Compare every agent with a reference agent, on each problem.

    Args:
        rows: Rows of any problems and agents, which also have ``problem`` and ``metrics``.
        metric: What to compare; problems without it are left out.
        reference: The agent to subtract; ``None`` for the one with the best mean on each problem.
        level: Nominal coverage of each interval; several are not corrected for being several.
        lower_is_better: Whether the best mean is the lowest.

    Returns:
        For each problem, agent - reference for all other agents, in the order in which they appear.

    Raises:
        UserError: No row has the metric, or a problem has no rows of the reference; or as for
            :func:`paired_difference`.
    """
    problems: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if metric in row["metrics"]:
            problems.setdefault(row["problem"], {}).setdefault(row["agent"], []).append(row)
    if not problems:
        raise unknown("metric", metric, {name for row in rows for name in row["metrics"]})
    found = {}
    for problem, agents in problems.items():
        base = _best(agents, metric, lower_is_better) if reference is None else reference
        if base not in agents:
            raise UserError(f"problem '{problem}' has no rows of the reference '{base}'; it has {', '.join(agents)}")
        others = [agent for agent in agents if agent != base]
        found[problem] = [paired_difference(agents[agent], agents[base], metric, level=level) for agent in others]
    return found


def _best(agents: Mapping[str, Sequence[Row]], metric: str, lower_is_better: bool) -> str:
    means = {agent: math.fsum(row["metrics"][metric] for row in rows) / len(rows) for agent, rows in agents.items()}
    return min(means, key=lambda agent: means[agent] if lower_is_better else -means[agent])


def _tables(rows: Sequence[Row]) -> list[dict[_SceneKey, Row]]:
    """Return the scenes of each row, rows by seed: an order that does not depend on which run ended first."""
    if not rows:
        raise UserError("an agent without rows cannot be compared; run it first")
    tables = {row["seed"]: {(scene["scene"], scene["photo"]): scene for scene in row["scenes"]} for row in rows}
    if len(tables) < len(rows):
        raise UserError(f"agent '{rows[0]['agent']}' has more than one row for a seed; keep one row a seed")
    if any(len(tables[row["seed"]]) < len(row["scenes"]) for row in rows):
        raise UserError(f"a scene occurs more than once in a row of agent '{rows[0]['agent']}'; evaluate it again")
    return [tables[seed] for seed in sorted(tables)]


def _check_same_scenes(tables: Sequence[tuple[str, dict[_SceneKey, Row]]]) -> None:
    first, expected = tables[0]
    for agent, table in tables:
        if table.keys() != expected.keys():
            scene = min(table.keys() ^ expected.keys())[0]
            who = f"'{first}' and '{agent}'" if agent != first else f"the runs of '{agent}'"
            raise UserError(f"{who} were not tested on the same scenes, as '{scene}' shows; run them with one config")


def _half_width(a: np.ndarray, b: np.ndarray, photo_of_scene: np.ndarray, level: float) -> float:
    """Compute half the interval, from values (runs, scenes) of each agent and the scenes' photograph numbers (scenes,).

    The variances of photographs and of runs are added, with Satterthwaite's degrees of freedom. These can exceed those
    of the largest part by so much that the interval becomes narrower than for that part alone; it must not.
    """
    counts = np.bincount(photo_of_scene)
    by_photo = np.bincount(photo_of_scene, weights=a.mean(0) - b.mean(0)) / counts
    parts = [(by_photo.var(ddof=1) * np.sum((counts / counts.sum()) ** 2), len(counts) - 1)]
    parts += [(runs.mean(1).var(ddof=1) / len(runs), len(runs) - 1) for runs in (a, b) if len(runs) > 1]
    total = math.fsum(variance for variance, _ in parts)
    if total == 0:
        return 0.0
    freedom = 1 / math.fsum((variance / total) ** 2 / df for variance, df in parts)
    return max(float(stdtrit(df, 0.5 + level / 2)) * math.sqrt(variance) for variance, df in [(total, freedom), *parts])


def _rounded(value: float, digits: int) -> float:
    return round(value, digits) + 0.0  # adding 0 makes -0 into 0, so that no "-0.00" is shown
