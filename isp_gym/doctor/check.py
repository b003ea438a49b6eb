"""What a check is, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


class Skipped(Exception):
    """Raised by a check that cannot be made here; says what it needs."""


@dataclass(frozen=True)
class Check:
    """One thing to find out.

    Attributes:
        area: Of what kind it is, e.g. ``"agents"``.
        name: What is checked, e.g. ``"posisp"``.
        do: Returns what there is to say of it; raises :class:`Skipped`, or anything else if it does not work.
    """

    area: str
    name: str
    do: Callable[[], str]


@dataclass(frozen=True)
class Finding:
    """What came of a check.

    Attributes:
        area: As in the check.
        name: As in the check.
        status: ``"ok"``, ``"failed"`` or ``"skipped"``.
        detail: What there is to say, or the reason.
        seconds: What it took.
    """

    area: str
    name: str
    status: str
    detail: str
    seconds: float

    def __str__(self) -> str:
        reason = f"{self.status}: {self.detail}" if self.status != "ok" else f"ok  {self.detail}"
        return f"{self.area:<12} {self.name:<30} {reason}"
