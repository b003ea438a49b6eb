"""``isp-gym replay``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from isp_gym.cli.options import AllowCode, JsonFlag, file_to_read
from isp_gym.cli.output import show
from isp_gym.errors import UserError
from isp_gym.streams import stdout_to_stderr


def replay(
    file: Annotated[
        Path,
        typer.Argument(parser=file_to_read, metavar="FILE", help="results.json of a comparison, or oracle.json."),
    ],
    sample: Annotated[
        int | None, typer.Option(min=1, help="Replay this many rows only, and some scenes of each; minutes at most.")
    ] = None,
    allow_code: AllowCode = False,
    as_json: JsonFlag = False,
) -> None:
    """Compute results again from the pipelines and policies that they record, and compare scene by scene.

    \b
    Examples:
      isp-gym replay runs/quick/results.json
      isp-gym replay runs/quick/results.json --sample 2
    """
    from isp_gym import plugins
    from isp_gym.benchmark.replay import replay_results
    from isp_gym.benchmark.replay_oracle import is_oracle, replay_oracle

    with stdout_to_stderr(as_json), plugins.untrusted(allow=allow_code):
        rows = replay_oracle(file) if is_oracle(file) else replay_results(file, sample)
    show([row.as_row() for row in rows], as_json)
    faults = [row for row in rows if row.faults]
    if faults:
        raise UserError(
            f"'{file}' does not replay: {len(faults)} of {len(rows)} differ; {faults[0].what}: {faults[0].faults[0]}"
        )
    if not any(row.checked for row in rows):
        raise UserError(
            f"'{file}': none of its {len(rows)} rows could be replayed; {rows[0].reason if rows else 'it has none'}"
        )
    if missing := sum(not row.checked for row in rows):
        print(
            f"isp-gym: {missing} of {len(rows)} rows were not replayed: {next(r.reason for r in rows if r.reason)}",
            file=sys.stderr,
        )
