"""``isp-gym compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from isp_gym.cli.options import JsonLine, Overrides
from isp_gym.cli.output import console_of


def compare(
    config: Annotated[Path, typer.Option(help="YAML file that names scenes, budget, seeds and agents.")],
    out: Annotated[Path, typer.Option(help="Folder for results.json, report.html and pictures.")],
    overrides: Overrides = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Use this many seeds, from 0 on.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; one a CPU core if not given.")] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Take finished runs of OUT as they are; what was interrupted always goes on."),
    ] = False,
    keep: Annotated[int | None, typer.Option(min=1, help="How many of a run's last checkpoints stay.")] = None,
    as_json: JsonLine = False,
) -> None:
    """Train and test agents side by side on the same scenes, budget and seeds."""
    from isp_gym.benchmark.compare import compare as run_comparison
    from isp_gym.benchmark.config import CompareConfig, load_config
    from isp_gym.benchmark.table import rich_table, summarise
    from isp_gym.data import SPLITS

    console = console_of(stderr=as_json)
    settings = load_config(config, overrides or (), seeds)
    settings.keep = keep or settings.keep
    results = run_comparison(settings, out, jobs, console, resume)
    for name, problem in CompareConfig.of(results["config"]).problems.items():
        lines = summarise([row for row in results["rows"] if row["problem"] == name])
        there = ", ".join(f"{getattr(problem.scenes, split)} {split}" for split in SPLITS)
        title = f"{problem.env.task} on {problem.env.data} ({there} scenes)"
        console.print(rich_table(lines, f"{name}: {title}" if len(results["data"]) > 1 else title))
    console.print(f"report: {out / 'report.html'}", highlight=False, soft_wrap=True, markup=False)
    if as_json:
        print(json.dumps(results))
