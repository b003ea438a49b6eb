"""``results.json``: what it holds, and reading it without believing it.

Its JSON schema is published beside this file, ``results.schema.json``. Everything in a row is equal to the bit from run
to run on one machine, but for what stands under ``cost`` (and ``seconds``, which repeats ``cost.seconds``).
"""

from __future__ import annotations

import json
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema

from isp_gym.benchmark.files import digest_of, read_json
from isp_gym.benchmark.plan import CARD
from isp_gym.errors import UserError

ROW = "row.json"
SCHEMA = 1
"""Version of rows and files; raised when the meaning of a key changes."""

Row = dict[str, Any]
_OF_THE_MOMENT = ("cost", "seconds", "digest")


def with_digest(row: Row) -> Row:
    """Return the row with a digest of all that does not depend on machine or moment."""
    return {**row, "digest": row_digest(row)}


def row_digest(row: Row) -> str:
    """Compute the SHA-256 of all of a row that does not depend on machine or moment."""
    return digest_of({key: value for key, value in row.items() if key not in _OF_THE_MOMENT})


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """Read the published JSON schema of ``results.json``."""
    return json.loads(files("isp_gym.benchmark").joinpath("results.schema.json").read_text(encoding="utf-8"))


def read_results(path: Path) -> dict[str, Any]:
    """Read a ``results.json``.

    Raises:
        UserError: It cannot be read, is of another version, or does not follow the schema.
    """
    try:
        content = read_json(path)
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"'{path}' is no JSON: {error}") from error
    version = content.get("schema") if isinstance(content, dict) else None
    if isinstance(content, dict) and "rows" in content and version != SCHEMA:
        was = "an earlier version, without a schema" if version is None else f"schema {version}"
        raise UserError(f"'{path}' was written by {was}; this isp-gym reads schema {SCHEMA}: run the comparison again")
    fault = next(iter(_validator().iter_errors(content)), None)
    if fault is not None:
        where = "/".join(map(str, fault.absolute_path)) or "its top level"
        raise UserError(f"'{path}' is no results.json: at {where}, {fault.message[:200]}")
    return content


@lru_cache(maxsize=1)
def _validator() -> Any:
    return jsonschema.Draft202012Validator(schema())


def finished_row(digest: str, path: Path) -> Row | None:
    """Read the row of a finished run, if it is the one asked for and nobody has changed it; otherwise ``None``.

    Args:
        digest: Of the plan, see :class:`isp_gym.benchmark.plan.Plan`.
        path: ``row.json``, beside the run's metadata.
    """
    try:
        row, card = read_json(path), read_json(path.with_name(CARD))
        return row if card["digest"] == digest and row["digest"] == row_digest(row) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
