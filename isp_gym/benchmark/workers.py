"""Runs in processes of their own, several at a time; none outlives the process that started it."""

from __future__ import annotations

import _thread
import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from isp_gym.benchmark import evaluation
from isp_gym.benchmark.agent import one_line
from isp_gym.benchmark.plan import Plan
from isp_gym.benchmark.run import run
from isp_gym.benchmark.run_context import Run, Stalled, Stopped
from isp_gym.errors import UserError
from isp_gym.interrupts import Interrupted, interrupts

GRACE = 10.0
"""Seconds that a run has to save itself when it is asked to stop."""

Do = Callable[[Plan, Path, Callable[[Run], None]], Any]

_POLL = 0.1
_STALL = getattr(signal, "SIGUSR1", signal.SIGINT)
_STUCK_CODE = 70
_STUCK = 30.0  # seconds after which a training that does not heed Stalled is ended with its process


@dataclass
class Worker:
    """A run in a process of its own.

    Attributes:
        plan: What it runs.
        folder: Where.
        process: The process, the leader of a group that its own children belong to.
        answer: What it says in the end: ``("done",)``, ``("stopped",)`` or ``("failed", line, traceback)``.
        spent: Shared counter of task evaluations.
        said: What it has said so far.
    """

    plan: Plan
    folder: Path
    process: Any
    answer: Connection
    spent: Any
    said: tuple[str, ...] | None = None

    @classmethod
    def start(cls, plan: Plan, folder: Path, do: Do = run) -> Worker:
        """Start a run; raises ``OSError`` if the system has no process or file left."""
        context = _context()
        ours, theirs = context.Pipe(duplex=False)
        spent = context.Value("q", 0, lock=False)
        process = context.Process(target=_work, args=(plan, folder, theirs, spent, do))
        try:
            with _signals_blocked():
                _start_server(context)
                process.start()
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(plan, folder, process, ours, spent)

    def outcome(self) -> tuple[str, ...] | None:
        """What the run says, once its process has ended; ``None`` before."""
        alive = self.process.is_alive()
        # Listen before it has ended, too: it would wait for ever with an answer that is longer than the pipe.
        with contextlib.suppress(EOFError, OSError):
            self.said = self.said or (self.answer.recv() if self.answer.poll() else None)
        if alive:
            return None
        self.process.join()
        code = self.process.exitcode
        self.close()
        if code == _STUCK_CODE:
            return "failed", f"spent nothing for {self.plan.run_timeout:g} s (run_timeout), and had to be killed", ""
        ended = f"its process ended without a word (exit code {code})"
        return self.said or ("failed", f"{ended}: killed, or by os._exit? If memory is short, try --jobs 1", "")

    def stop(self) -> None:
        """Ask it to save itself and end."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it with all that it started."""
        _kill_group(self.process.pid)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.close()

    def close(self) -> None:
        """Let go of its files, and of children that it has left behind."""
        _kill_group(self.process.pid)
        self.answer.close()
        self.process.close()


def run_all(
    work: list[tuple[Plan, Path]],
    jobs: int,
    on_progress: Callable[[Worker], None],
    on_end: Callable[[Worker, Any], None],
    do: Do = run,
) -> None:
    """Run everything, ``jobs`` at a time.

    Args:
        work: Plans with their folders.
        jobs: Processes at a time.
        on_progress: Told now and then of every worker that is running.
        on_end: Told of each that has ended, with what it said.
        do: What a process does with its plan.

    Raises:
        Interrupted: The user has asked for an end. All have been asked to save themselves, and have ended.
    """
    waiting, running = list(work), list[Worker]()
    try:
        with interrupts():
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(Worker.start(*waiting.pop(0), do))
                wait([worker.process.sentinel for worker in running], timeout=_POLL)
                for worker in list(running):
                    on_progress(worker)
                    if (said := worker.outcome()) is not None:
                        running.remove(worker)
                        on_end(worker, said)
    finally:
        _end(running)


def _end(workers: list[Worker]) -> None:
    for worker in workers:
        worker.stop()
    end = time.monotonic() + GRACE
    while any(worker.process.is_alive() for worker in workers) and time.monotonic() < end:
        with contextlib.suppress(Interrupted, KeyboardInterrupt):  # a second Ctrl-C does not leave anyone behind
            time.sleep(_POLL)
    for worker in workers:
        worker.kill()


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    """Put Ctrl-C off while processes are started: they inherit the mask, so that it does not kill a fork server."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which a fork server would start first, and unblock Ctrl-C
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _context() -> Any:
    # A fork server imports torch once and forks clean children; plain fork is not safe under torch's threads.
    wanted = os.environ.get("ISP_GYM_START_METHOD", "forkserver")
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context(wanted if wanted in methods else "spawn")
    context.set_forkserver_preload(["isp_gym.benchmark.run"])
    return context


def _start_server(context: Any) -> None:
    """Start the fork server, if it is not running, where no file hides a package from what it imports.

    A Python that is started with ``-c``, as it is, searches its working directory first.
    """
    if context.get_start_method() == "forkserver":
        here = os.getcwd()
        os.chdir(os.path.abspath(os.sep))
        try:
            forkserver.ensure_running()
        finally:
            os.chdir(here)


def _kill_group(pid: int) -> None:
    """End what is left of a worker's process group; where there are no groups, there is nothing to do."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


# --- inside the worker ------------------------------------------------------------------------------------------------
def _work(plan: Plan, folder: Path, answer: Connection, spent: Any, do: Do) -> None:
    if hasattr(os, "setpgrp"):
        os.setpgrp()  # its own group: Ctrl-C at a terminal is the parent's, and one signal ends it with its children
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()

    def on_start(context: Run) -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: setattr(context, "stop_requested", True))
        signal.signal(_STALL, lambda number, frame: _raise_stalled(context))
        threading.Thread(target=_watch, args=(context, spent), daemon=True).start()

    try:
        do(plan, folder, on_start)
        answer.send(("done",))
    except Stopped:
        answer.send(("stopped",))
    except BaseException as error:  # whatever an agent raises, sys.exit() and KeyboardInterrupt too
        answer.send(("failed", _line(error), "" if isinstance(error, UserError) else traceback.format_exc()))


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
        _kill_group(os.getpid())
        os._exit(1)


def _watch(context: Run, spent: Any) -> None:
    """Report progress, and end a training in which nothing is spent any more, or an agent that does not answer."""
    timeout, last, since = context.plan.run_timeout, (-1, -1), time.monotonic()
    while True:
        time.sleep(_POLL)
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
            os._exit(_STUCK_CODE)  # it does not heed Stalled
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
