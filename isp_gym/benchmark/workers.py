"""Runs in processes of their own, several at a time; none outlives the process that started it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from isp_gym.benchmark.plan import Plan
from isp_gym.benchmark.worker_process import POLL, STUCK_CODE, kill_group, work
from isp_gym.interrupts import Interrupted, interrupts

GRACE = 10.0
"""Seconds that a run has to save itself when it is asked to stop."""


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
    def start(cls, plan: Plan, folder: Path) -> Worker:
        """Start a run; raises ``OSError`` if the system has no process or file left."""
        context = _context()
        ours, theirs = context.Pipe(duplex=False)
        spent = context.Value("q", 0, lock=False)
        process = context.Process(target=work, args=(plan, folder, theirs, spent))
        try:
            with _signals_blocked():
                _start_server(context)
                process.start()
        except BaseException:
            if process.pid is not None:  # Ctrl-C came meanwhile, and nobody else knows of it
                process.kill()
                process.join()
            ours.close()
            raise
        finally:
            theirs.close()
        return cls(plan, folder, process, ours, spent)

    def outcome(self) -> tuple[str, ...] | None:
        """Return what the run says, once its process has ended; ``None`` before."""
        alive = self.process.is_alive()
        # Listen before it has ended, too: it would wait for ever with an answer that is longer than the pipe.
        with contextlib.suppress(EOFError, OSError):
            self.said = self.said or (self.answer.recv() if self.answer.poll() else None)
        if alive:
            return None
        self.process.join()
        code = self.process.exitcode
        self.close()
        if code == STUCK_CODE:
            return "failed", f"spent nothing for {self.plan.run_timeout:g} s (run_timeout), and had to be killed", ""
        ended = f"its process ended without a word (exit code {code})"
        return self.said or ("failed", f"{ended}: killed, or by os._exit? If memory is short, try --jobs 1", "")

    def stop(self) -> None:
        """Ask it to save itself and end."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(self.process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it with all that it started."""
        kill_group(self.process.pid)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.close()

    def close(self) -> None:
        """Let go of its files, and of children that it has left behind."""
        kill_group(self.process.pid)
        self.answer.close()
        self.process.close()


def run_all(
    plans: list[tuple[Plan, Path]],
    jobs: int,
    on_progress: Callable[[Worker], None],
    on_end: Callable[[Worker, Any], None],
) -> None:
    """Run everything, ``jobs`` at a time.

    Args:
        plans: The runs with their folders, in the order in which they are started.
        jobs: Processes at a time.
        on_progress: Told now and then of every worker that is running.
        on_end: Told of each that has ended, with what it said.

    Raises:
        Interrupted: The user has asked for an end. All have been asked to save themselves, and have ended.
    """
    waiting, running = list(plans), list[Worker]()
    try:
        with interrupts():
            while waiting or running:
                while waiting and len(running) < jobs:
                    running.append(Worker.start(*waiting.pop(0)))
                wait([worker.process.sentinel for worker in running], timeout=POLL)
                for worker in list(running):
                    on_progress(worker)
                    if (said := worker.outcome()) is not None:
                        running.remove(worker)
                        on_end(worker, said)
    finally:
        _end(running)


def start_server() -> None:
    """Start the fork server, if it is not running, so that what it forks does not inherit a seal that is put up later.

    What is sealed when it starts would be sealed for every run of this process, for as long as it lives.
    """
    with _signals_blocked():
        _start_server(_context())


def _end(workers: list[Worker]) -> None:
    for worker in workers:
        worker.stop()
    end = time.monotonic() + GRACE
    while any(worker.process.is_alive() for worker in workers) and time.monotonic() < end:
        with contextlib.suppress(Interrupted, KeyboardInterrupt):  # a second Ctrl-C does not leave anyone behind
            time.sleep(POLL)
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
