"""Ctrl-C and signals as an exception that ends what the user has started."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Interrupted(BaseException):
    """The user has asked for an end, by Ctrl-C or a signal; nobody's ``except Exception`` catches it.

    Args:
        message: What to tell the user.
        number: The signal.
    """

    def __init__(self, message: str = "interrupted", number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.number = number

    def saying(self, message: str) -> Interrupted:
        """Return the same end with another message."""
        return Interrupted(message, self.number)

    @property
    def exit_code(self) -> int:
        """The code that shells expect: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
        return 128 + self.number


@contextlib.contextmanager
def interrupts() -> Iterator[None]:
    """Raise :class:`Interrupted` for Ctrl-C, SIGTERM and SIGHUP in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise Interrupted(number=number)

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {getattr(signal, name): signal.signal(getattr(signal, name), interrupt) for name in names}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
