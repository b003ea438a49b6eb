"""The inside of a worker: a process that makes one run, reports how far it is, and does not outlive its parent."""

from __future__ import annotations

import _thread
import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from isp_gym.benchmark import evaluation
from isp_gym.benchmark.agent import one_line
from isp_gym.benchmark.plan import Plan
from isp_gym.benchmark.run import run
from isp_gym.benchmark.run_context import Run, Stalled, Stopped
from isp_gym.errors import UserError
from isp_gym.streams import steady_streams

POLL = 0.1
STUCK_CODE = 70

_STALL = getattr(signal, "SIGUSR1", signal.SIGINT)
_STUCK = 30.0  # seconds after which a training that does not heed Stalled is ended with its process


def work(plan: Plan, folder: Path, answer: Connection, spent: Any) -> None:
    """Run a plan in this process, and say in the end how it went.

    Args:
        plan: The run.
        folder: Where it writes.
        answer: Takes ``("done",)``, ``("stopped",)`` or ``("failed", line, traceback)``.
        spent: Shared counter of task evaluations.
    """
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # its own group: Ctrl-C at a terminal is the parent's, and one signal ends it with its children
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()

    def on_start(context: Run) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: setattr(context, "stop_requested", True))
        signal.signal(_STALL, lambda number, frame: _raise_stalled(context))
        threading.Thread(target=_watch, args=(context, spent), daemon=True).start()

    try:
        with steady_streams():  # an agent may print, and nobody read it
            run(plan, folder, on_start)
        said: tuple[str, ...] = ("done",)
    except Stopped:
        said = ("stopped",)
    except BaseException as error:  # whatever an agent raises, sys.exit() and KeyboardInterrupt too
        said = ("failed", _line(error), "" if isinstance(error, UserError) else traceback.format_exc())
    with contextlib.suppress(OSError):  # nobody listens any more
        answer.send(said)


def _line(error: BaseException) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it ended its process itself, by sys.exit({'' if error.code is None else error.code})"
    if isinstance(error, Stalled):
        return "it did not answer within run_timeout when it was evaluated"
    text = one_line(error)
    return f"{type(error).__name__}: {text[:300]}{'...' if len(text) > 300 else ''}"


def _die_with_parent() -> None:
    """End this process and its children when the one that started it is gone, however it ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        kill_group(os.getpid())
        os._exit(1)


def _watch(context: Run, spent: Any) -> None:
    """Report progress, and end a training in which nothing is spent any more, or an agent that does not answer."""
    timeout, last, since = context.plan.run_timeout, (-1, -1), time.monotonic()
    while True:
        time.sleep(POLL)
        now = (context.budget.spent.task_evaluations, context.budget.spent.env_steps)
        spent.value = now[0]
        asked = evaluation.asked_at
        if asked is not None and not context.in_training:
            last, since = now, asked  # the agent is to answer; nothing else is waited for
        elif now != last or not context.in_training:
            last, since, context.stalled = now, time.monotonic(), False
            continue
        if timeout and time.monotonic() - since <= timeout:
            continue
        if timeout and time.monotonic() - since > timeout + _STUCK:
            os._exit(STUCK_CODE)  # it does not heed Stalled
        if timeout and not context.stalled:
            context.stalled = True
            _end_training()


def _end_training() -> None:
    """Raise Stalled in the main thread, also where it sleeps."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, _STALL)  # type: ignore[arg-type]
    else:
        _thread.interrupt_main(_STALL)


def _raise_stalled(context: Run) -> None:
    # Either may have ended while the signal was on its way.
    if context.in_training or evaluation.asked_at is not None:
        raise Stalled


def kill_group(pid: int) -> None:
    """End what is left of a worker's process group; where there are no groups, there is nothing to do."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
