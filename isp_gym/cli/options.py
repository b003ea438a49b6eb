"""Options that several commands take."""

from __future__ import annotations

from typing import Annotated

import typer

Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the config.")]
AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Import the plug-ins and unpickle the checkpoints that the file names.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object in place of a table.")]
JsonLine = Annotated[bool, typer.Option("--json", help="End with the results as one line of JSON.")]
