"""Options that several commands take, and faults in them that are found before anything heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isp_gym.errors import UserError


def folder_to_write(text: str) -> Path:
    """Parse ``--out``; ``UserError`` if it names nothing."""
    if not text.strip():
        raise UserError("--out is empty; name a folder to be made, such as --out runs/mine")
    return Path(text)


def file_to_read(text: str) -> Path:
    """Parse a file; ``UserError`` if it is not there."""
    if not text or not Path(text).exists():
        raise UserError(f"no file at '{text}'")
    if Path(text).is_dir():
        raise UserError(f"'{text}' is a folder; name a file in it")
    return Path(text)


def file_or_folder(text: str) -> Path:
    """Parse a file or folder; ``UserError`` if it is not there."""
    if not text or not Path(text).exists():
        raise UserError(f"there is no file or folder '{text}'")
    return Path(text)


def policy_to_read(text: str) -> str:
    """Parse the SPEC of a policy; ``UserError`` if it is written as a run's folder and there is none."""
    if not text.strip():
        raise UserError("--policy is empty; name a run's folder, or an agent such as camera")
    if "/" in text and ":" not in text and not Path(text).is_dir():
        raise UserError(f"no run at '{text}'; give OUT/runs/AGENT/seed-N of a comparison, or the name of an agent")
    return text


CONFIG_HELP = (
    "YAML file of a comparison, or the name of a shipped one (quick, small, ...). Several are laid over each other, "
    "later ones over earlier ones."
)
Configs = Annotated[list[str], typer.Option("--config", metavar="FILE|NAME", help=CONFIG_HELP)]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the config.")]
AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Import the plug-ins and unpickle the checkpoints that the file names.")
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object in place of a table.")]
JsonLine = Annotated[bool, typer.Option("--json", help="Print the results as one line of JSON, all else on stderr.")]
Policy = Annotated[
    str,
    typer.Option(
        parser=policy_to_read,
        metavar="SPEC",
        help="A run's folder, the name of an agent (input, camera, random, ...), or posisp:FILE.pth.",
    ),
]
