"""``isp-gym compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from isp_gym.cli.options import Configs, JsonLine, Overrides, folder_to_write
from isp_gym.cli.output import console_of
from isp_gym.streams import stdout_to_stderr


def compare(
    config: Configs,
    out: Annotated[
        Path,
        typer.Option(parser=folder_to_write, metavar="FOLDER", help="For results.json, report.html and pictures."),
    ],
    overrides: Overrides = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME[,NAME]", help="Run only these agents of the config.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Use this many seeds, from 0 on.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; one per CPU core if not given.")] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Take finished runs of OUT as they are; what was interrupted always goes on."),
    ] = False,
    keep: Annotated[int | None, typer.Option(min=1, help="How many of a run's last checkpoints stay.")] = None,
    as_json: JsonLine = False,
) -> None:
    """Train and test agents side by side on the same scenes, budget and seeds.

    \b
    Examples:
      isp-gym compare --config quick --out runs/quick
      isp-gym compare --config quick --config mine.yaml --out runs/mine budget=4000 --only camera,posisp
    """
    from isp_gym.config_files import read_configs

    values = read_configs(config, overrides or ())
    from isp_gym.benchmark.compare import compare as run_comparison
    from isp_gym.benchmark.config import CompareConfig, load_config
    from isp_gym.benchmark.table import rich_table, summarise
    from isp_gym.data import SPLITS

    with stdout_to_stderr(as_json):
        settings = load_config(values, num_seeds=seeds, only=only or ())
        settings.keep = keep or settings.keep
        console = console_of(stderr=as_json)
        results = run_comparison(settings, out, jobs, console, resume)
        for name, problem in CompareConfig.of(results["config"]).problems.items():
            lines = summarise([row for row in results["rows"] if row["problem"] == name])
            there = ", ".join(f"{getattr(problem.scenes, split)} {split}" for split in SPLITS)
            title = f"{problem.env.task} on {problem.env.data} ({there} scenes)"
            console.print(rich_table(lines, f"{name}: {title}" if len(results["data"]) > 1 else title))
        console.print(f"report: {out / 'report.html'}", highlight=False, soft_wrap=True, markup=False)
    if as_json:
        print(json.dumps(results))
