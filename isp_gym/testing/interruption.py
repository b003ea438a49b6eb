"""A recorder that keeps a training in memory, interrupts it, and lets another one go on from there."""

from __future__ import annotations

import io
import math
from typing import Any

import torch

from isp_gym.benchmark.random_state import random_state, set_random_state
from isp_gym.benchmark.training import Learner
from isp_gym.budget import Budget


class Interrupted(BaseException):
    """Ends a training from outside; no agent's ``except Exception`` catches it."""


class MemoryRecorder:
    """Stands in for a run: what it keeps goes through ``torch.save`` and a ``torch.load`` that unpickles no objects.

    Args:
        budget: Of the training.
        saved: What another recorder has :attr:`saved`, to go on from; ``None`` for a new training.
        stop_at: Raise :class:`Interrupted` at this checkpoint, counted from 1; ``None`` for never.

    Attributes:
        checkpoints: How many there have been.
        resumed: Whether the training asked for what it could go on from.
        numbers: What was logged, in order.
        saved: The training at the checkpoint at which it was interrupted.
    """

    def __init__(self, budget: Budget, saved: bytes | None = None, stop_at: int | None = None) -> None:
        self.budget, self.stop_at = budget, stop_at
        self.checkpoints = 0
        self.resumed = False
        self.numbers: list[dict[str, float]] = []
        self.saved = saved

    def checkpoint(self, agent: Any, learner: Learner | None) -> None:
        """See :meth:`isp_gym.benchmark.Training.checkpoint`."""
        self.checkpoints += 1
        if self.checkpoints != self.stop_at:
            return
        assert learner is not None, "it hands no learner to training.checkpoint, so that nothing can go on from there"
        file = io.BytesIO()
        torch.save({"learner": learner.state_dict(), "budget": self.budget.state(), "random": random_state()}, file)
        self.saved = file.getvalue()
        raise Interrupted

    def resume(self, learner: Learner) -> bool:
        """See :meth:`isp_gym.benchmark.Training.resume`."""
        self.resumed = True
        if self.saved is None:
            return False
        state = torch.load(io.BytesIO(self.saved), weights_only=True, map_location="cpu")
        learner.load_state_dict(state["learner"])
        self.budget.restore(state["budget"])
        set_random_state(state["random"])
        return True

    def log(self, numbers: dict[str, float]) -> None:
        """See :meth:`isp_gym.benchmark.Training.log`."""
        for name, value in numbers.items():
            assert isinstance(value, int | float) and math.isfinite(value), (
                f"it logs {name}={value!r}, which is no number"
            )
        self.numbers.append(numbers)
