"""What a run has spent: the common currency in which agents are compared, and the one meter that counts it.

While a run trains (``with metering(budget):``) its budget is process-wide: whatever is scored in that time, through
whichever environment, transition or task, is counted in it too. No route leads round it by giving an environment a
budget of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from isp_gym.errors import UserError

_PROCESS = "ISP_GYM_METERED_PROCESS"  # an environment variable, so that subprocesses of any kind know


class BudgetExhausted(Exception):
    """Raised before an evaluation or step that the budget no longer covers; it ends the training."""


class StepsExhausted(BudgetExhausted):
    """Raised before an environment step beyond the limit: too many of them cost no evaluation."""


@dataclass
class Spent:
    """What has been counted.

    Attributes:
        task_evaluations: Images scored by the task.
        gradient_evaluations: Those of them that were also differentiated.
        env_steps: Steps of environments, one per sub-environment, whether they cost an evaluation or not.
        module_megapixels: Megapixels that went through a module (forward only).
    """

    task_evaluations: int = 0
    gradient_evaluations: int = 0
    env_steps: int = 0
    module_megapixels: float = 0.0


class Budget:
    """Counts the work of a run and stops it at a limit of task evaluations, and of environment steps.

    A *task evaluation* is one image scored by the task, whoever asks: a whole pipeline in the sequence family, a single
    step with dense rewards in the stepwise family. The loss of a scene's untouched input is a constant of the data,
    computed once, and is not counted. Steps of an environment that cost no evaluation (a stop, a refused module) are
    bounded by ``step_limit``, or an agent that takes no others would never end.

    Args:
        limit: The task evaluations allowed; ``None`` for no limit.
        step_limit: The environment steps allowed; ``None`` for no limit.

    Attributes:
        limit: As given.
        step_limit: As given.
        spent: What has been counted so far.
    """

    def __init__(self, limit: int | None = None, step_limit: int | None = None) -> None:
        self.limit = limit
        self.step_limit = step_limit
        self.spent = Spent()

    @property
    def task_evaluations(self) -> int:
        """Count the images scored so far."""
        return self.spent.task_evaluations

    @property
    def remaining(self) -> int:
        """Count the task evaluations left; a very large number when there is no limit."""
        return (2**63 if self.limit is None else self.limit) - self.spent.task_evaluations

    def require(self, images: int = 0, steps: int = 0) -> None:
        """Raise ``BudgetExhausted`` unless ``images`` more scores and ``steps`` more environment steps are covered.

        Nothing is counted.
        """
        for budget in self._all():
            if images > budget.remaining:
                raise BudgetExhausted(f"{images} task evaluations asked for, {budget.remaining} of {budget.limit} left")
            if budget.step_limit is not None and budget.spent.env_steps + steps > budget.step_limit:
                raise StepsExhausted(
                    f"{budget.spent.env_steps} of {budget.step_limit} environment steps are taken, with "
                    f"{budget.remaining} task evaluations left: most of them cost none"
                )

    def spend(self, images: int, *, gradient: bool = False) -> None:
        """Count ``images`` task evaluations.

        Raises:
            BudgetExhausted: Fewer than ``images`` are left; nothing is counted then.
            UserError: This is a subprocess of a run, where nobody counts.
        """
        self.require(images)
        for budget in self._all():
            budget.spent.task_evaluations += images
            budget.spent.gradient_evaluations += images * gradient

    def step(self, count: int) -> None:
        """Count a step of ``count`` sub-environments.

        Raises:
            StepsExhausted: The step limit does not cover them; nothing is counted then.
        """
        self.require(steps=count)
        for budget in self._all():
            budget.spent.env_steps += count

    def add_megapixels(self, megapixels: float) -> None:
        """Count what went through a module."""
        for budget in self._all():
            budget.spent.module_megapixels += megapixels

    def state(self) -> dict[str, float]:
        """Return what has been counted, as plain numbers for a checkpoint."""
        return asdict(self.spent)

    def restore(self, state: dict[str, float]) -> None:
        """Go on from what :meth:`state` gave."""
        self.spent = Spent(**state)  # type: ignore[arg-type]

    def _all(self) -> tuple[Budget, ...]:
        """This budget, and those of the runs that this process is in."""
        if os.environ.get(_PROCESS, str(os.getpid())) != str(os.getpid()):
            raise UserError(
                "a task score was asked for in a subprocess of a run, where it cannot be counted; "
                "score in the training process (training.make_vec steps all sub-environments in one batch)"
            )
        return (self, *(run for run in _RUNS if run is not self))


_RUNS: tuple[Budget, ...] = ()  # a run inside a run is counted in both


def in_a_run() -> bool:
    """Tell whether this process is in a run, so that whatever is scored counts."""
    return bool(_RUNS)


@contextmanager
def metering(budget: Budget) -> Iterator[Budget]:
    """Count everything that is scored in this process inside the block in ``budget`` as well."""
    global _RUNS
    outer, _RUNS = _RUNS, (*(run for run in _RUNS if run is not budget), budget)
    before = os.environ.get(_PROCESS)
    os.environ[_PROCESS] = str(os.getpid())
    try:
        yield budget
    finally:
        _RUNS = outer
        if before is None:
            del os.environ[_PROCESS]
        else:
            os.environ[_PROCESS] = before
