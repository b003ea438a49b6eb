"""Keep libraries quiet, also when several threads use them at a time.

``warnings.catch_warnings`` and ``sys.stdout`` are one for the whole process: two threads that each
save and restore them by themselves can end with what the other had set, and warnings are lost for good. So the first
thread to enter saves, and the last one to leave restores.
"""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, redirect_stdout

_Region = Callable[[], AbstractContextManager[None]]


class _Shared:
    """A context that all threads share: entered by the first, left by the last."""

    def __init__(self, region: _Region) -> None:
        self._region, self._lock, self._inside, self._stack = region, threading.Lock(), 0, ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._stack.enter_context(self._region())
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._stack.close()


@contextmanager
def _no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _no_output() -> Iterator[None]:
    with redirect_stdout(io.StringIO()):
        yield


quiet_warnings = _Shared(_no_warnings)
"""No Python warning is shown inside: odd metadata is no reason to talk."""

quiet_output = _Shared(_no_output)
"""Nothing is printed inside, by anybody."""
