"""Files that are there in full or not at all, digests of folders, and JSON that every reader takes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically; numbers that are not finite, which JSON has not, become null."""
    write_text(path, json.dumps(finite(value), indent=1, allow_nan=False))


def write_text(path: Path, text: str) -> None:
    """Write a text file that is there in full or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_folder(folder: Path, fill: Callable[[Path], None]) -> None:
    """Make ``folder`` by ``fill``, in full or not at all; an earlier one is replaced.

    Args:
        folder: Ours to replace.
        fill: Writes to the folder that it is given.
    """
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    fill(partial)
    if folder.exists():
        shutil.rmtree(folder)
    partial.replace(folder)


def finite(value: Any) -> Any:
    """Return the same plain value with ``None`` for numbers that are not finite."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def digest_of(value: Any) -> str:
    """Compute the SHA-256 of a plain value, whatever order its keys are in."""
    text = json.dumps(finite(value), sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_folder(folder: Path) -> str:
    """Compute the SHA-256 of the names and contents of all files in a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_json(path: Path) -> Any:
    """Read a JSON file; ``ValueError`` for a damaged one or NaN, ``OSError`` for one that cannot be read."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def default_jobs() -> int:
    """Count the cores that this process may use, where the system tells; otherwise all there are."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
