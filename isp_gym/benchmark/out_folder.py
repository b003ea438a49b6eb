"""The folder of a comparison or training: written beside its place, held by one process, moved there when complete.

While it is written it is called ``OUT.partial``; what is in it is gone on from. Only folders that carry the mark are
ever moved, and nothing but runs of ours inside them is ever removed.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from isp_gym.benchmark.files import write_text
from isp_gym.errors import UserError

_MARK = ".isp-gym"
_LOCK, _HOLDER = ".lock", ".holder"
ASIDE = "set-aside"


class OutFolder:
    """``--out``, resolved once, so that links are followed and a change of the working directory changes nothing.

    Args:
        out: As the user wrote it.
        kind: What is written: ``"comparison"`` or ``"training"``. One is never written into the other.

    Attributes:
        out: Where complete results go.
        partial: Where they are written until then.

    Raises:
        UserError: ``out`` cannot be written to without touching something that is not ours.
    """

    def __init__(self, out: Path, kind: str = "comparison") -> None:
        self._kind = kind
        self.out = Path(os.path.realpath(out))
        if self.out == Path.cwd() or self.out in Path.cwd().parents or not self.out.name:
            raise UserError(f"--out {out} is the folder that you are in; name one to be made, such as --out runs/mine")
        if os.path.ismount(self.out):
            raise UserError(f"--out {out} is a mount point and cannot be moved; name a folder in it, such as {out}/run")
        self.partial = self.out.with_name(self.out.name + ".partial")
        self._place = self.partial
        for folder in (self.out, self.partial):
            if folder.exists() and not _ours(folder):
                raise UserError(f"'{folder}' exists and was not made by isp-gym; choose another --out")

    @contextmanager
    def held(self, resume: bool) -> Iterator[Path]:
        """Hold ``partial``, made if need be, against other processes.

        Args:
            resume: Take complete results at ``out`` up again, if nothing interrupted is there.

        Raises:
            UserError: Another process holds it, or it cannot be written to.
        """
        try:
            if resume and not self.partial.exists() and self.complete and _kind(self.out) == self._kind:
                self.out.rename(self.partial)
            self.partial.mkdir(parents=True, exist_ok=True)
            self._mark()
            lock = FileLock(self.partial / _LOCK, timeout=0)
            lock.acquire()
        except Timeout:
            raise UserError(
                f"'{self.out}' is being written by {self._holder()}; wait, or choose another --out"
            ) from None
        except OSError as error:
            raise UserError(f"cannot write to '{self.out}': {error.strerror}") from error
        try:
            self._say_who()
            yield self.partial
        finally:
            for name in (_HOLDER, _LOCK):
                (self._place / name).unlink(missing_ok=True)
            lock.release()

    def _mark(self) -> None:
        mark = self.partial / _MARK
        if not mark.exists():
            write_text(mark, self._kind)
        elif (there := _kind(self.partial)) != self._kind:
            raise UserError(f"'{self.partial}' holds an interrupted {there}; end or remove it, or choose another --out")

    def set_aside(self, folder: Path) -> None:
        """Move a run in ``partial`` that is not the one asked for to ``set-aside/N``."""
        shelf = self.partial / ASIDE
        shelf.mkdir(exist_ok=True)
        number = next(n for n in range(1, 10**6) if not (shelf / str(n)).exists())
        folder.rename(shelf / str(number))

    def publish(self) -> Path | None:
        """Move the complete folder to its place.

        Returns:
            Where the earlier one was moved, if there was one.
        """
        earlier = None
        if self.complete:
            number = next(n for n in range(1, 10**6) if not self._numbered(n).exists())
            earlier = self._numbered(number)
            self.out.rename(earlier)
        elif self.out.exists():
            self.out.rmdir()
        self.partial.rename(self.out)
        self._place = self.out
        return earlier

    @property
    def complete(self) -> bool:
        """Whether something complete is at ``out``."""
        return self.out.exists() and any(self.out.iterdir())

    def _numbered(self, number: int) -> Path:
        return self.out.with_name(f"{self.out.name}.{number}")

    def _say_who(self) -> None:
        who = {"process": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        (self.partial / _HOLDER).write_text(json.dumps(who))

    def _holder(self) -> str:
        try:
            who = json.loads((self.partial / _HOLDER).read_text())
            return f"process {who['process']} on {who['host']} since {who['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"


def _kind(folder: Path) -> str:
    mark = folder / _MARK
    return mark.read_text() or "comparison" if mark.is_file() else ""


def _ours(folder: Path) -> bool:
    """Tell whether a folder carries the mark, or is an empty one, which nobody misses."""
    return folder.is_dir() and ((folder / _MARK).is_file() or not any(folder.iterdir()))
