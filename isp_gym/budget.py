"""What a run has spent: the common currency in which agents are compared."""

from __future__ import annotations


class BudgetExhausted(Exception):
    """Raised before an evaluation that the budget no longer covers; the benchmark takes it as the end of training."""


class Budget:
    """Counts the work of a run and stops it at a limit of task evaluations.

    A *task evaluation* is one image scored by the task, whoever asks: a whole pipeline in the sequence family, a single
    step with dense rewards in the stepwise family. The loss of a scene's untouched input is a constant of the data,
    computed once, and is not counted.

    Attributes:
        limit: The task evaluations allowed; ``None`` for no limit.
        task_evaluations: Images scored so far.
        gradient_evaluations: Those of them that were also differentiated.
        module_megapixels: Megapixels that went through a module (forward only).
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.task_evaluations = 0
        self.gradient_evaluations = 0
        self.module_megapixels = 0.0

    @property
    def remaining(self) -> int:
        """Task evaluations left; a very large number when there is no limit."""
        return (2**63 if self.limit is None else self.limit) - self.task_evaluations

    def spend(self, images: int, *, gradient: bool = False) -> None:
        """Count ``images`` task evaluations.

        Raises:
            BudgetExhausted: Fewer than ``images`` are left; nothing is counted then.
        """
        if images > self.remaining:
            raise BudgetExhausted(f"{images} task evaluations asked for, {self.remaining} of {self.limit} left")
        self.task_evaluations += images
        self.gradient_evaluations += images * gradient
