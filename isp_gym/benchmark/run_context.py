"""The context of one run: budget, log of scenes read, seal, logger, curve, checkpoints and random numbers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isp_gym.benchmark.agent import Agent
from isp_gym.benchmark.checkpoints import Checkpoints
from isp_gym.benchmark.curve import Curve
from isp_gym.benchmark.files import finite
from isp_gym.benchmark.plan import Plan
from isp_gym.benchmark.random_state import as_torch_starts, random_state, seed_everything, set_random_state
from isp_gym.benchmark.training import Learner, Training
from isp_gym.budget import Budget, BudgetExhausted, StepsExhausted, metering
from isp_gym.data.access import ReadLog, recording, seal
from isp_gym.errors import UserError

LOG, READS = "log.jsonl", "scenes_read.txt"


class Stopped(BaseException):
    """The user has asked for an end; the run has saved itself. No agent's ``except Exception`` catches it."""


class Stalled(BaseException):
    """Nothing was spent for ``run_timeout`` seconds; raised in the training's own thread."""


class Run:
    """The context of one run: all that a training may touch; :class:`isp_gym.benchmark.Training` is its public face.

    Args:
        plan: What is run.
        folder: The run's own folder; a checkpoint in it is resumed from.

    Attributes:
        budget: What has been spent.
        curve: The learning curve.
        train_scenes_read: Ids of the training scenes that were read, whoever read them, when the training has ended.
        resumed: How often the run was interrupted and resumed.
        went_on: Whether it was resumed from a checkpoint in this process.
        stop_requested: Set from outside to let the run save itself and end at its next checkpoint.
        in_training: Whether the agent is learning now, and not being measured or saved.
        stalled: Set by who ends a training in which nothing is spent any more.
    """

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        problem = plan.problem
        self.budget = Budget(problem.budget, problem.step_limit)
        interval = max(1, problem.budget // problem.curve_points)
        self.curve = Curve(problem.setting("validation"), interval, folder / "points", plan.load_agent)
        self.checkpoints = Checkpoints(folder / "checkpoints", plan.keep)
        self.train_scenes_read: list[str] = []
        self.resumed = 0
        self.stop_requested = False
        self.in_training = self.stalled = False
        self.went_on = False
        self._agent: Agent
        self._reads: ReadLog
        self._clock = _Clock()
        self._saved_at = time.monotonic()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Seal the test and validation scenes, count every score, note every scene read, and seed all random numbers.

        The agent lives in here from its construction to its test. The benchmark itself reads sealed scenes by
        :func:`isp_gym.data.access.lifted`.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._training_seed = seed_everything(self.plan.seed)
        with (
            seal("validation", "test"),
            recording(self.folder / READS) as self._reads,
            metering(self.budget),
        ):
            yield

    def train(self, agent: Agent) -> str:
        """Let an agent learn.

        Returns:
            What ended the training: ``"agent"`` itself, its ``"budget"``, the ``"env_steps"`` allowed, or
            ``"run_timeout"``.

        Raises:
            Stopped: The user has asked for an end.
        """
        self._agent = agent
        training = Training(self.plan.problem.setting("train"), self._training_seed, self.budget, self)
        with self._clock:
            self.in_training = True
            try:
                agent.train(training)
                return "agent"
            except StepsExhausted:
                return "env_steps"
            except BudgetExhausted:
                return "budget"
            except Stalled:
                return "run_timeout"
            finally:
                self.in_training = False
                as_torch_starts()  # whatever the agent has changed for its own training

    def checkpoint(self, agent: Any, learner: Learner | None) -> None:
        """Note a point and save the run if that is due, see :meth:`isp_gym.benchmark.Training.checkpoint`."""
        spent = self.budget.task_evaluations
        due = spent >= self.curve.due
        if due:
            with self._aside():
                self._note({"point": self.curve.measure(self._agent, spent)})
        late = time.monotonic() - self._saved_at >= self.plan.checkpoint_seconds
        if learner is not None and (due or late or self.stop_requested):
            with self._aside():
                self._save(learner)
        if self.stop_requested:
            raise Stopped

    def resume(self, learner: Learner) -> bool:
        """Restore the run from its last checkpoint, see :meth:`isp_gym.benchmark.Training.resume`."""
        state = self.checkpoints.latest()
        if state is None:
            (self.folder / LOG).unlink(missing_ok=True)
            return False
        learner.load_state_dict(state["learner"])
        self.budget.restore(state["budget"])
        self.curve.restore(state["curve"])
        self._cut_log(state["log_bytes"])
        self._clock.seconds = state["seconds"]
        self.resumed, self.went_on = state["resumed"] + 1, True
        set_random_state(state["random"])
        return True

    def log(self, numbers: dict[str, float]) -> None:
        """Note numbers in the log, see :meth:`isp_gym.benchmark.Training.log`."""
        for name, number in numbers.items():
            try:
                numbers[name] = float(number)
            except (TypeError, ValueError) as error:
                raise UserError(f"training.log takes numbers, and '{name}' is {number!r}") from error
        self._note({"task_evaluations": self.budget.task_evaluations, **numbers})

    def finish(self, agent: Agent, ended: str) -> None:
        """Measure the final state, which is always the last point of a curve, and close the log."""
        if self.budget.task_evaluations or self.curve.points:
            self._note({"point": self.curve.measure(agent, self.budget.task_evaluations)})
        self._note({"ended": ended, **self.budget.state()})
        problem, spent = self.plan.problem, self.budget.spent
        if spent.task_evaluations > problem.budget or spent.env_steps > problem.step_limit:
            raise UserError(f"agent '{self.plan.agent}' raised its own budget of {problem.budget}")
        self.budget.limit = self.budget.task_evaluations  # whoever scores from here on is told
        self.train_scenes_read = list(self._reads.ids("train"))

    @property
    def seconds(self) -> float:
        """Seconds of training, without those of the curve and the checkpoints, over all parts of an interrupted run."""
        return self._clock.seconds

    @property
    def reads(self) -> ReadLog:
        """What scenes were read by whom."""
        return self._reads

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Do what is not the agent's part of a training: the clock and the timeout stand still."""
        self.in_training = False
        with self._clock.paused():
            yield
        self.in_training = True

    def _save(self, learner: Learner) -> None:
        log = self.folder / LOG
        self.checkpoints.save(
            {
                "learner": learner.state_dict(),
                "budget": self.budget.state(),
                "curve": self.curve.state(),
                "random": random_state(),
                "seconds": self._clock.seconds,
                "resumed": self.resumed,
                "log_bytes": log.stat().st_size if log.exists() else 0,
            }
        )
        self._saved_at = time.monotonic()

    def _note(self, record: dict[str, Any]) -> None:
        with (self.folder / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(finite(record), allow_nan=False) + "\n")

    def _cut_log(self, size: int) -> None:
        """Take from the log what was written after the checkpoint: it will be written again."""
        path = self.folder / LOG
        if path.exists():
            with path.open("r+b") as file:
                file.truncate(size)


class _Clock:
    """Adds up the seconds inside its block, but for those inside :meth:`paused`."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._start = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._start

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()
