"""The command line, ``isp-gym``."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from isp_gym.benchmark.agent import agent_names
from isp_gym.benchmark.compare import compare as run_comparison
from isp_gym.benchmark.config import load_config, read_config
from isp_gym.benchmark.evaluate_policy import evaluate_policy, settings_for
from isp_gym.benchmark.oracle import find_oracle
from isp_gym.benchmark.replay import TOLERANCE, replay_file
from isp_gym.benchmark.table import rich_table, summarise
from isp_gym.data import data_card, source_table
from isp_gym.envs import environment_table
from isp_gym.errors import UserError
from isp_gym.modules import get_bank
from isp_gym.rewards import table as reward_table

app = typer.Typer(
    help="Learned camera image signal processors: environments, agents and head-to-head comparisons.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object in place of a table.")]


@app.command()
def compare(
    config: Annotated[Path, typer.Option(help="YAML file that names scenes, budget, seeds and agents.")],
    out: Annotated[Path, typer.Option(help="Folder for results.json, report.html and pictures.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the config.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Use this many seeds, from 0 on.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Runs at a time; one a CPU core if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with the results as one line of JSON.")] = False,
) -> None:
    """Train and test agents side by side on the same scenes, budget and seeds."""
    console = _console(stderr=as_json)
    settings = load_config(config, overrides or (), seeds)
    results = run_comparison(settings, out, jobs, console)
    lines = summarise(results["rows"])
    console.print(rich_table(lines, f"{settings.task} on {settings.data}, test scenes"))
    console.print(f"report: {out / 'report.html'}", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps(results))


@app.command()
def evaluate(
    policy: Annotated[
        str, typer.Option(help="A run's folder, the name of an agent (input, camera, random, ...), or posisp:FILE.pth.")
    ],
    task: Annotated[str | None, typer.Option(help="Downstream task; that of the run, or enhancement.")] = None,
    data: Annotated[str | None, typer.Option(help="Data source; that of the run, or what suits the task.")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    config: Annotated[Path | None, typer.Option(help="Take all settings from this YAML file of a comparison.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes, e.g. scenes.test=100 image_size=128.")
    ] = None,
    budget: Annotated[int, typer.Option(min=0, help="Task evaluations to train an agent given by name with.")] = 1000,
    pictures: Annotated[int, typer.Option(min=0, help="Scenes whose pipeline is printed.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="End with the results as one line of JSON.")] = False,
) -> None:
    """Measure one policy on the scenes of a split, and say in physical units what it does."""
    settings = settings_for(policy, config, overrides or (), task=task, data=data)
    row = evaluate_policy(policy, settings, split, budget)
    console = _console(stderr=as_json)
    console.print(rich_table(summarise([row]), f"{settings.task} on {settings.data}, {split} scenes"))
    for scene in row["scenes"][:pictures]:
        if "words" in scene:
            console.print(f"{scene['scene']}: {' > '.join(scene['words']) or 'no module'}", highlight=False)
    if as_json:
        print(json.dumps({"rows": [row], "data": data_card([settings.setting(split).load_scenes()])}))


@app.command()
def oracle(
    config: Annotated[Path, typer.Option(help="YAML file of a comparison with few modules, e.g. configs/small.yaml.")],
    out: Annotated[Path, typer.Option(help="Folder for oracle.json; an interrupted search there goes on.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes to the config.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one a CPU core if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with the best sequences as one line of JSON.")] = False,
) -> None:
    """Find the best sequence of a small bank by trying all of them, each with its best parameters."""
    settings = read_config(config, overrides or ())
    settings.check_setting()
    found = find_oracle(settings, out, jobs or len(os.sched_getaffinity(0)), _console(stderr=True))
    rows = [
        {"reward": round(row["reward"], 6), "sequence": " > ".join(row["sequence"]) or "no module"}
        for row in found["sequences"][:10]
    ]
    _show(rows, as_json)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="results.json of a comparison, or oracle.json.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of a table.")] = False,
) -> None:
    """Compute results again from the pipelines that they record, and compare."""
    rows = replay_file(file)
    _show(rows, as_json)
    worst = max(row["difference"] for row in rows)
    if worst > TOLERANCE:
        raise UserError(f"'{file}' does not replay: a score differs by {worst:.2g}; other package versions or data?")


@app.command()
def envs(as_json: JsonFlag = False) -> None:
    """The registered environments: observation, action and reward at the default settings."""
    _show(environment_table(), as_json)


@app.command()
def modules(bank: Annotated[str, typer.Option(help="Name of the bank.")] = "stable", as_json: JsonFlag = False) -> None:
    """The modules of a bank, with their parameters and ranges."""
    rows = get_bank(bank).table()
    _show(rows if as_json else [{**row, "parameters": _ranges(row["parameters"])} for row in rows], as_json)


@app.command()
def rewards(as_json: JsonFlag = False) -> None:
    """The no-reference rewards that an objective can name."""
    _show(reward_table(), as_json)


@app.command()
def agents(as_json: JsonFlag = False) -> None:
    """The agents that a config can name."""
    _show([{"name": key, "class": value} for key, value in sorted(agent_names().items())], as_json)


@app.command()
def data(as_json: JsonFlag = False) -> None:
    """The data sources."""
    _show(source_table(), as_json)


def _ranges(parameters: list[dict[str, Any]]) -> str:
    """Parameters in words, those of the same range together."""
    groups: dict[str, list[str]] = {}
    for p in parameters:
        unit, scale = p["unit"] and f" {p['unit']}", ", log" * (p["scale"] == "log")
        where = f"[{p['low']:.4g}, {p['high']:.4g}]{unit}{scale}, neutral {p['neutral']:.4g}"
        groups.setdefault(where, []).append(p["name"])
    return "\n".join(f"{' '.join(names)}: {where}" for where, names in groups.items())


def _show(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"rows": rows}))
        return
    table = Table(box=SIMPLE_HEAD)
    for key in rows[0]:
        table.add_column(key)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    _console().print(table)


def _console(stderr: bool = False) -> Console:
    """As wide as the terminal, or 160 columns where there is none, so that a file or a pipe gets whole tables."""
    console = Console(stderr=stderr)
    return console if console.is_terminal else Console(stderr=stderr, width=160)


def main() -> None:
    """Run the command line; what the user must change is one line and exit code 2, and a warning is one line."""
    warnings.showwarning = lambda message, *_, **__: print(f"isp-gym: warning: {message}", file=sys.stderr)
    try:
        app()
    except UserError as error:
        sys.exit(_fail(str(error), 2))
    except KeyboardInterrupt:
        sys.exit(_fail("interrupted", 130))


def _fail(message: str, code: int) -> int:
    print(f"isp-gym: {message}", file=sys.stderr)
    return code
