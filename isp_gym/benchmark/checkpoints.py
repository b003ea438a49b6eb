"""Checkpoints of a run: written atomically, the last few kept, and read without unpickling anything."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from isp_gym.errors import UserError

_SUFFIX = ".pt"


class Checkpoints:
    """The checkpoints in one folder, numbered in the order in which they were written.

    Args:
        folder: Made with the first checkpoint.
        keep: How many of the last ones stay, at least 1.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     checkpoints = Checkpoints(Path(folder), keep=1)
        ...     checkpoints.save({"iteration": 1})
        ...     checkpoints.save({"iteration": 2})
        ...     checkpoints.latest(), len(list(Path(folder).iterdir()))
        ({'iteration': 2}, 1)
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint of tensors, numbers, strings and containers of them; older ones are removed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        numbers = self._numbers()
        path = self._path(max(numbers, default=0) + 1)
        partial = path.with_name(path.name + ".partial")
        torch.save(state, partial)
        partial.replace(path)
        for number in [*numbers, 0][: max(0, len(numbers) + 1 - self.keep)]:
            self._path(number).unlink(missing_ok=True)

    def latest(self) -> dict[str, Any] | None:
        """Read the last checkpoint; ``None`` if there is none.

        Raises:
            UserError: It is damaged.
        """
        numbers = self._numbers()
        if not numbers:
            return None
        path = self._path(numbers[-1])
        try:
            return torch.load(path, weights_only=True, map_location="cpu")
        except Exception as error:  # whatever a damaged file makes torch raise
            raise UserError(f"the checkpoint '{path}' is damaged; delete it to resume from the one before") from error

    def clear(self) -> None:
        """Remove them all: the run is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.glob(f"*{_SUFFIX}") if path.stem.isdigit())

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}{_SUFFIX}"
