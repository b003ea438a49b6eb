"""The record of which scenes were handed out, in memory and, where a path is given, in a file."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from isp_gym.errors import UserError

SPLITS = ("train", "validation", "test")

_Line = tuple[str, ...]  # split and id of a scene that was read; a split alone for a refusal

_written: dict[str, set[_Line]] = {}


class ReadLog:
    """Which scenes were handed out, and how often a sealed split was refused; made by ``recording``.

    Args:
        path: A file that is shared with other processes, see :func:`isp_gym.data.recording`.

    Attributes:
        path: The file, absolute, or ``None``.

    Raises:
        UserError: The file cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path).absolute()
        self._read: set[_Line] = set()
        self._refused: Counter[str] = Counter()
        if self.path is not None:
            _written.pop(str(self.path), None)  # it may be another file than the last time
            _end_last_line(self.path)

    def ids(self, split: str) -> tuple[str, ...]:
        """Return the ids of the scenes of ``split`` that were handed out, sorted, each once."""
        return tuple(sorted(scene_id for s, scene_id in self._all_reads() if s == split))

    @property
    def counts(self) -> dict[str, int]:
        """Return how many scenes of each split were handed out."""
        counts = Counter(split for split, _ in self._all_reads())
        return {split: counts[split] for split in SPLITS}

    @property
    def refusals(self) -> dict[str, int]:
        """Return how often loading or reading each split was refused."""
        refused = self._refused
        if self.path is not None:  # those of this process are in the file as well
            refused = Counter(line[0] for line in _lines(self.path) if len(line) == 1)
        return {split: refused[split] for split in SPLITS}

    def add_reads(self, split: str, ids: Iterable[str]) -> None:
        """Note scenes; in memory only."""
        self._read.update((split, scene_id) for scene_id in ids)

    def add_refusal(self, split: str) -> None:
        """Note a refusal; in memory only."""
        self._refused[split] += 1

    def _all_reads(self) -> set[_Line]:
        lines = [] if self.path is None else _lines(self.path)
        return self._read.union(line for line in lines if len(line) == 2)


def append_reads(path: str, split: str, ids: Iterable[str]) -> None:
    """Add scenes to a file, each a line, unless this process knows that they are there."""
    if path not in _written:
        _written[path] = set(_lines(Path(path)))
    new = {(split, scene_id): None for scene_id in ids if (split, scene_id) not in _written[path]}
    if new:
        _append(path, new)
        _written[path].update(new)


def append_refusal(path: str, split: str) -> None:
    """Add a refusal to a file."""
    _append(path, [(split,)])


def _append(path: str | Path, lines: Iterable[_Line]) -> None:
    # One write to a file that is opened to append: lines of processes side by side do not get mixed. A file name, and
    # so an id, may hold any character, a line break too; JSON keeps each on its line.
    try:
        with open(path, "ab", buffering=0) as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
    except OSError as error:
        raise UserError(f"cannot write the record of scenes {path}: {error.strerror}; make room for it") from error


def _lines(path: Path) -> list[_Line]:
    """Return what a file holds; a line that was cut off when its process was killed is left out."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot read the record of scenes {path}: {error.strerror}; make it readable") from error
    found = []
    for line in text.split("\n"):
        try:
            found.append(tuple(json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def _end_last_line(path: Path) -> None:
    """Make the file, or end a line of it that was cut off, so that the next one is whole."""
    _append(path, [])
    if path.stat().st_size and not path.read_bytes().endswith(b"\n"):
        with open(path, "ab", buffering=0) as file:
            file.write(b"\n")
