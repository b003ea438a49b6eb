"""Standard output and standard error that end no experiment: whatever becomes of them, work goes on."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any

_GONE = (errno.EPIPE, errno.EIO)  # a pipe without a reader, a terminal that was closed


class SteadyStream:
    """A text stream that falls silent when its reader goes away (``| head``, ``ssh`` cut), in place of an error.

    Characters that its encoding lacks are replaced.

    Args:
        stream: The stream to write to.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        """Write text as far as there is someone to read it."""
        with self._silent_when_gone():
            self._stream.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each of the lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush as far as there is someone to read it."""
        with self._silent_when_gone():
            self._stream.flush()

    @contextlib.contextmanager
    def _silent_when_gone(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in _GONE:
                raise
            # Also for what is still in buffers, for other libraries, and for processes that are started later.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def steady_streams() -> Iterator[None]:
    """Make ``sys.stdout`` and ``sys.stderr`` steady inside the block, and give closed ones a place to write to."""
    _open_missing()
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (SteadyStream(stream) for stream in before)
    try:
        yield
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        sys.stdout, sys.stderr = before


@contextlib.contextmanager
def stdout_to_stderr(wanted: bool = True) -> Iterator[None]:
    """Send what is printed inside the block to standard error, also by C libraries and by processes started there.

    Args:
        wanted: Whether to do so at all.
    """
    if not wanted:
        yield
        return
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _open_missing() -> None:
    """Open what was closed (``>&-``), so that no file of ours takes its number and its output."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115 (lives as long as the process)
