"""What is being done, and how long it will take: one line on a terminal, a line a minute in a pipe."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.text import Text

Now = Callable[[], tuple[str, float]]
"""Returns a line, and the share of the work that is done, in [0, 1]."""

_TICK = 1.0  # seconds between looks at the work; lines are printed more seldom


class Status:
    """Says what is being done.

    Args:
        console: Where; that of standard error, so that results alone are on standard output. ``None`` for nowhere.
        every: Seconds between two lines where there is no terminal.
    """

    def __init__(self, console: Console | None = None, every: float = 60.0) -> None:
        self._console, self._every = console or Console(quiet=True), every

    @contextmanager
    def doing(self, what: str, now: Now | None = None) -> Iterator[None]:
        """Say ``what`` is begun, and how far it is for as long as the block lasts.

        Args:
            what: The work in words, such as ``"scoring 200 test scenes"``.
            now: Asked how far it is, from another thread; the time left is added to what it says.
        """
        left = TimeLeft()

        def line() -> str:
            if now is None:
                return what
            text, share = now()
            return text + left.text(share, time.monotonic())

        if self._console.is_terminal:
            # Drawn four times a second; what an agent prints itself stays on standard output.
            live = Live(
                console=self._console, get_renderable=lambda: Text(line()), transient=True, redirect_stdout=False
            )
            with live:
                yield
        else:
            with self._repeating(what, line):
                yield

    @contextmanager
    def _repeating(self, what: str, line: Callable[[], str]) -> Iterator[None]:
        """Print ``what``, then a line now and then. Work that fails at once leaves the error alone: it is the news."""
        end, said = threading.Event(), list[float]()

        def say(text: str) -> None:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)
            said.append(time.monotonic())

        def repeat() -> None:
            while not end.wait(min(_TICK, self._every)):
                text = line()  # also when it is not printed: the time left is estimated from what it sees
                if not said:
                    say(what)
                elif time.monotonic() - said[-1] >= self._every:
                    say(text)

        thread = threading.Thread(target=repeat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join()
        if not said:
            say(what)


class TimeLeft:
    """Estimates the time that work will take, from the pace since it was first seen to advance.

    What an interrupted training had done before is seen all at once, and says nothing of the pace.

    Example:
        >>> left = TimeLeft()
        >>> left.text(0.5, now=100.0), left.text(0.6, now=110.0)
        ('', ', about 40 s left')
    """

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def text(self, share: float, now: float) -> str:
        """Return the time left in words, to be added to a line; nothing as long as it cannot be told.

        Args:
            share: What is done, in [0, 1].
            now: A clock, in seconds.
        """
        if self._first is None:
            self._first = (share, now) if share > 0 else None
            return ""
        done, seconds = share - self._first[0], now - self._first[1]
        return f", about {duration((1 - share) * seconds / done)} left" if done > 0 else ""


def duration(seconds: float) -> str:
    """Return a time in words.

    Example:
        >>> duration(42.3), duration(600), duration(9000)
        ('42 s', '10 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
