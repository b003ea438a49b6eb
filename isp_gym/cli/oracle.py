"""``isp-gym oracle``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isp_gym.cli.options import Overrides
from isp_gym.cli.output import console_of, show
from isp_gym.errors import UserError


def oracle(
    config: Annotated[Path, typer.Option(help="YAML file of a comparison with few modules, e.g. configs/small.yaml.")],
    out: Annotated[Path, typer.Option(help="Folder for oracle.json; an interrupted search there goes on.")],
    overrides: Overrides = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one a CPU core if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with the best sequences as one line of JSON.")] = False,
) -> None:
    """Find the best sequence of a small bank by trying all of them, each with its best parameters."""
    from isp_gym.benchmark.config import read_config
    from isp_gym.benchmark.files import default_jobs
    from isp_gym.benchmark.oracle import find_oracle

    settings = read_config(config, overrides or ())
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
