"""Tables and JSON on the terminal."""

from __future__ import annotations

import json
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table


def show(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Print rows as a table, or as one JSON object."""
    if as_json:
        print(json.dumps({"rows": rows}))
        return
    table = Table(box=SIMPLE_HEAD)
    for key in rows[0]:
        table.add_column(key)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console_of().print(table)


def console_of(stderr: bool = False) -> Console:
    """Return a console as wide as the terminal; 160 columns for a file or a pipe, so that these get whole tables."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=160)


def print_pipelines(console: Console, scenes: list[dict[str, Any]], count: int) -> None:
    """Print the pipelines of the first scenes of a row in physical units."""
    for scene in scenes[:count]:
        if "description" in scene:
            line = f"{scene['scene']}: {' > '.join(scene['description']) or 'no module'}"
            console.print(line, highlight=False, markup=False)
