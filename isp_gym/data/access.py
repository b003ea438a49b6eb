"""Who may read scenes, and what was read: one guard for the whole process and all processes that it starts.

Every scene passes :meth:`isp_gym.data.SceneSet.batch`, and every split :func:`isp_gym.data.load_scenes`; both ask here.

- ``seal("test")`` refuses a split inside its block. It holds for every thread and every process that is started there.
- ``lifted()`` opens sealed splits again for the thread that is inside it. It is for the benchmark's own runner, which
  evaluates in the middle of a training; code of an agent must never run inside it. What a process inherited from the
  one that started it cannot be lifted.
- ``recording()`` notes every scene that is handed out, and every refusal.

Open blocks are kept in ``multiprocessing``'s configuration of the process, because that is the one thing that a child
gets whichever way ``multiprocessing`` starts it: a fork server may have been started long before the block, in another
environment. For programs that are started otherwise they stand in the environment variables ``ISP_GYM_SEALED``
(``test,validation``) and ``ISP_GYM_READ_LOG`` (paths, one a line). A process that runs before the block opens, such as
the worker of a pool, does not learn of it.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from isp_gym.data.read_log import SPLITS, ReadLog, append_reads, append_refusal
from isp_gym.errors import UserError, unknown

SEALED_VARIABLE = "ISP_GYM_SEALED"
READ_LOG_VARIABLE = "ISP_GYM_READ_LOG"

_SEALS, _PATHS = "isp_gym_seals", "isp_gym_read_logs"  # keys of the process's configuration

# What this process was started with, which nothing in it can end.
_inherited_seals = set(filter(None, os.environ.get(SEALED_VARIABLE, "").split(",")))
_inherited_paths = set(filter(None, os.environ.get(READ_LOG_VARIABLE, "").split("\n")))

_logs: list[ReadLog] = []
_thread = threading.local()
_lock = threading.RLock()


def check_split(split: str) -> None:
    """Raise ``UserError`` if ``split`` is not one of ``SPLITS``."""
    if split not in SPLITS:
        raise unknown("split", str(split), SPLITS)


@contextmanager
def seal(*splits: str) -> Iterator[None]:
    """Refuse the named splits inside the block: loading or reading their scenes raises ``UserError``.

    Holds for all threads, and for the processes that are started inside the block for as long as they live. Blocks
    nest, and an inner block cannot open what an outer one sealed.

    Args:
        *splits: Names out of ``SPLITS``.

    Raises:
        UserError: If a name is not a split; nothing is sealed then.
    """
    for split in splits:
        check_split(split)
    entry = (os.getpid(), splits)
    _open(_SEALS, entry)
    try:
        yield
    finally:
        _close(_SEALS, entry)


@contextmanager
def lifted() -> Iterator[None]:
    """Open the splits that this process sealed, for this thread, inside the block.

    For the benchmark's own runner only. Never call an agent's code inside: it would be free to read the test scenes.
    Other threads, processes that are started inside, and seals that this process was started with stay as they are.
    """
    _thread.lifted = getattr(_thread, "lifted", 0) + 1
    try:
        yield
    finally:
        _thread.lifted -= 1


@contextmanager
def recording(path: str | os.PathLike[str] | None = None) -> Iterator[ReadLog]:
    """Note every scene that is handed out inside the block, by any set and to any thread. Blocks nest; all record.

    Args:
        path: A file to note them in as well, line by line as they are read, where an interrupted run finds them again:
            what it holds already counts as read. Processes that are started inside the block note theirs there too,
            for as long as they live. Without a path those are not recorded.

    Yields:
        The log; it can be asked at any time, also after the block.

    Raises:
        UserError: The file cannot be read or written.
    """
    log = ReadLog(path)
    entry = None if log.path is None else str(log.path)
    with _lock:
        _logs.append(log)
    if entry is not None:
        _open(_PATHS, entry)
    try:
        yield log
    finally:
        if entry is not None:
            _close(_PATHS, entry)
        with _lock:
            _logs.remove(log)


def refuse_sealed(split: str) -> None:
    """Raise ``UserError``, and note it, if this thread may not read ``split``."""
    closed = _sealed_here()
    if split not in closed:
        return
    with _lock:
        for log in _logs:
            log.add_refusal(split)
        for path in _paths():
            append_refusal(path, split)
    open_splits = [name for name in SPLITS if name not in closed]
    raise UserError(
        f"the {split} split is sealed here: training must not see {split} scenes; "
        f"use {' or '.join(open_splits) or 'no scenes'}"
    )


def note_read(split: str, ids: Iterable[str]) -> None:
    """Note scenes that are handed out."""
    with _lock:
        paths = _paths()
        if not (_logs or paths):
            return
        seen = list(ids)
        for log in _logs:
            log.add_reads(split, seen)
        for path in paths:
            append_reads(path, split, seen)


def _sealed_here() -> frozenset[str]:
    """Return the splits that this thread may not read."""
    return _seals(without=os.getpid() if getattr(_thread, "lifted", 0) else None)


def _seals(without: int | None = None) -> frozenset[str]:
    """Return the splits that are sealed, but for the seals of the process ``without``."""
    seals = _configuration().get(_SEALS, ())
    return frozenset(_inherited_seals).union(*(splits for pid, splits in seals if pid != without))


def _paths() -> set[str]:
    return _inherited_paths.union(_configuration().get(_PATHS, ()))


def _configuration() -> dict[str, Any]:
    # Every process that multiprocessing starts, by fork, spawn or fork server, gets a copy.
    return vars(multiprocessing.current_process())["_config"]


def _open(key: str, entry: object) -> None:
    with _lock:
        # A new tuple each time: threads that read meanwhile see the one or the other.
        _configuration()[key] = (*_configuration().get(key, ()), entry)
        _tell_environment()


def _close(key: str, entry: object) -> None:
    with _lock:
        entries = list(_configuration()[key])
        entries.remove(entry)
        _configuration()[key] = tuple(entries)
        _tell_environment()


def _tell_environment() -> None:
    """Keep the environment variables up to date for programs that are started from here."""
    for name, value in (
        (SEALED_VARIABLE, ",".join(sorted(_seals()))),
        (READ_LOG_VARIABLE, "\n".join(sorted(_paths()))),
    ):
        if value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)


def _after_fork() -> None:
    # The process that was forked may be one that multiprocessing made before the block, with an older configuration.
    _inherited_seals.update(_seals())
    _inherited_paths.update(_paths())
    _lock.release()


if hasattr(os, "register_at_fork"):  # held over the fork, so that the child does not find it locked by another thread
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_after_fork)
