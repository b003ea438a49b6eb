"""Checks one after another, none of which stops the rest."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from isp_gym.doctor.check import Check, Finding, Skipped
from isp_gym.doctor.learning import agent_checks
from isp_gym.doctor.machine import extra_checks, machine_checks
from isp_gym.doctor.parts import bank_checks, environment_checks, plugin_checks, reward_checks, task_checks


def everything() -> list[Check]:
    """Return all checks: the machine, and a tiny use of everything that a name can stand for."""
    parts = (environment_checks(), bank_checks(), task_checks(), reward_checks(), agent_checks(), plugin_checks())
    return [*machine_checks(), *extra_checks(), *(check for checks in parts for check in checks)]


def examine(checks: Iterable[Check], time_limit: float = 30.0) -> Iterator[Finding]:
    """Run checks, and yield what each has found as soon as it has.

    Args:
        checks: One after another; a check fails by whatever it raises, ``SystemExit`` included.
        time_limit: Seconds after which one has failed, on systems that have alarms.
    """
    for check in checks:
        start = time.perf_counter()
        try:
            with _alarm(time_limit):
                status, detail = "ok", check.do()
        except Skipped as reason:
            status, detail = "skipped", str(reason)
        except (Exception, SystemExit) as error:  # whatever a broken plug-in raises
            status, detail = "failed", f"{type(error).__name__}: {error}"
        seconds = round(time.perf_counter() - start, 3)
        yield Finding(check.area, check.name, status, " ".join(detail.split()), seconds)


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise ``TimeoutError`` inside the block after so many seconds, where there are alarms."""
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise TimeoutError(f"no end after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
