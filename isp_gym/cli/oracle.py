"""``isp-gym oracle``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isp_gym.cli.options import Configs, Overrides, folder_to_write
from isp_gym.cli.output import console_of, show
from isp_gym.errors import UserError
from isp_gym.streams import stdout_to_stderr


def oracle(
    config: Configs,
    out: Annotated[
        Path,
        typer.Option(parser=folder_to_write, metavar="FOLDER", help="For oracle.json; an interrupted search goes on."),
    ],
    overrides: Overrides = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one per CPU core if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the best sequences as one line of JSON.")] = False,
) -> None:
    """Find the best sequence of a small bank by trying all of them, each with its best parameters.

    \b
    Examples:
      isp-gym oracle --config small --out runs/oracle
    """
    from isp_gym.config_files import read_configs

    values = read_configs(config, overrides or ())
    from isp_gym.benchmark.config import CompareConfig
    from isp_gym.benchmark.files import default_jobs
    from isp_gym.benchmark.oracle import find_oracle

    with stdout_to_stderr(as_json):
        settings = CompareConfig.of(values)
        if settings.several:
            raise UserError(f"an oracle is of one problem; the config has {', '.join(settings.problems)}")
        (problem,) = settings.problems.values()
        problem.check()
        found = find_oracle(problem, out, jobs or default_jobs(), console_of(stderr=True))
    rows = [
        {"reward": round(row["reward"], 6), "sequence": " > ".join(row["sequence"]) or "no module"}
        for row in found["sequences"][:10]
    ]
    show(rows, as_json)
