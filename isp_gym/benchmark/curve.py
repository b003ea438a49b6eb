"""The learning curve: each point a saved policy and its score on the validation scenes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from isp_gym.benchmark.agent import Agent
from isp_gym.benchmark.evaluation import evaluate
from isp_gym.benchmark.files import write_folder
from isp_gym.benchmark.random_state import undisturbed
from isp_gym.data.access import lifted
from isp_gym.envs.config import EnvConfig

Point = dict[str, float]


class Curve:
    """Measures points on the validation scenes, a point each time another part of the budget is spent.

    Args:
        setting: The environment over the validation split.
        interval: Task evaluations between two points.
        folder: Where the policy of the point at n task evaluations is saved, in ``folder/n``.
        load: Makes the agent as it was saved in a folder.

    Attributes:
        points: Of each ``task_evaluations``, the validation metrics and the agent's diagnostics.
    """

    def __init__(self, setting: EnvConfig, interval: int, folder: Path, load: Callable[[Path], Agent]) -> None:
        with lifted():
            self.scenes = setting.load_scenes()
        self.rules, self.task = setting.rules, setting.make_task().unmetered
        self.interval, self.folder, self._load = interval, folder, load
        self.points: list[Point] = []
        self.due = 0

    def measure(self, agent: Agent, task_evaluations: int) -> Point:
        """Add a point, in place of one at the same number of evaluations, and leave the random numbers as they were.

        What is measured is the policy as it was saved and loaded back, if the agent can be saved.
        """
        self.due = (task_evaluations // self.interval + 1) * self.interval
        with undisturbed():
            if agent.can_be_saved:
                write_folder(self.saved(task_evaluations), agent.save)
            shown = self._load(self.saved(task_evaluations)) if agent.can_be_saved else agent
            metrics = evaluate(shown, self.scenes, self.rules, self.task).metrics
            point = {"task_evaluations": task_evaluations, **metrics, **agent.diagnostics()}
        if self.points and self.points[-1]["task_evaluations"] == task_evaluations:
            self.points.pop()
        self.points.append(point)
        return point

    def best(self) -> Point:
        """Return the point with the highest validation score, the last of several."""
        score = self.task.score_in(self.points[0])
        return max(reversed(self.points), key=lambda point: point[score])

    def saved(self, task_evaluations: float) -> Path:
        """Return where the policy of a point is."""
        return self.folder / f"{int(task_evaluations)}"

    def add_test_scores(self, setting: EnvConfig) -> None:
        """Add each saved point's score on the test scenes (the paper's Fig. 5), when nothing is chosen any more."""
        with lifted():
            scenes = setting.load_scenes()
        score = self.task.score_in(self.points[0]) if self.points else ""
        for point in self.points:
            agent = self._load(self.saved(point["task_evaluations"]))
            point[f"test_{score}"] = evaluate(agent, scenes, self.rules, self.task).metrics[score]

    def state(self) -> dict[str, Any]:
        """Return the points so far, for a checkpoint."""
        return {"points": [dict(point) for point in self.points], "due": self.due}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""
        self.points, self.due = [dict(point) for point in state["points"]], state["due"]
