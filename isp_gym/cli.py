"""The command line, ``isp-gym``."""

from __future__ import annotations

import errno
import json
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from isp_gym import plugins
from isp_gym.benchmark.agent import agent_names
from isp_gym.benchmark.compare import compare as run_comparison
from isp_gym.benchmark.config import CompareConfig, load_config, read_config
from isp_gym.benchmark.evaluate_policy import evaluate_policy, problem_for
from isp_gym.benchmark.files import default_jobs
from isp_gym.benchmark.oracle import find_oracle
from isp_gym.benchmark.replay import replay_results
from isp_gym.benchmark.replay_oracle import is_oracle, replay_oracle
from isp_gym.benchmark.results import SCHEMA
from isp_gym.benchmark.table import rich_table, summarise
from isp_gym.benchmark.workers import Interrupted, interrupts
from isp_gym.config import names_in, read_yaml, words_in
from isp_gym.data import SPLITS, data_card, source_table
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
AllowCode = Annotated[
    bool, typer.Option("--allow-code", help="Import the plug-ins and unpickle the checkpoints that the file names.")
]
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
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Take finished runs of OUT as they are; what was interrupted always goes on."),
    ] = False,
    keep: Annotated[int | None, typer.Option(min=1, help="How many of a run's last checkpoints stay.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="End with the results as one line of JSON.")] = False,
) -> None:
    """Train and test agents side by side on the same scenes, budget and seeds."""
    console = _console(stderr=as_json)
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
    problem: Annotated[str | None, typer.Option(help="Which of the config's problems, if it has several.")] = None,
    pictures: Annotated[int, typer.Option(min=0, help="Scenes whose pipeline is printed.")] = 3,
    allow_code: AllowCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="End with the results as one line of JSON.")] = False,
) -> None:
    """Measure one policy on the scenes of a split, and say in physical units what it does."""
    written = [policy, task or "", data or "", *(overrides or ())]
    mine = [] if config is None else words_in(read_yaml(config))
    with plugins.untrusted(names_in([*written, *mine]), allow=allow_code):
        chosen = problem_for(policy, config, overrides or (), task, data, problem)
        row = evaluate_policy(policy, chosen, split, budget, overrides or ())
        cards = {row["problem"]: data_card([chosen.setting(split).load_scenes()])} if as_json else {}
    console = _console(stderr=as_json)
    console.print(rich_table(summarise([row]), f"{row['task']} on {row['data']}, {len(row['scenes'])} {split} scenes"))
    for scene in row["scenes"][:pictures]:
        if "description" in scene:
            line = f"{scene['scene']}: {' > '.join(scene['description']) or 'no module'}"
            console.print(line, highlight=False, markup=False)
    if as_json:
        print(json.dumps({"schema": SCHEMA, "rows": [row], "data": cards}))


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
    if settings.several:
        raise UserError(f"an oracle is of one problem; the config has {', '.join(settings.problems)}")
    (problem,) = settings.problems.values()
    problem.check()
    found = find_oracle(problem, out, jobs or default_jobs(), _console(stderr=True))
    rows = [
        {"reward": round(row["reward"], 6), "sequence": " > ".join(row["sequence"]) or "no module"}
        for row in found["sequences"][:10]
    ]
    _show(rows, as_json)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="results.json of a comparison, or oracle.json.")],
    sample: Annotated[
        int | None, typer.Option(min=1, help="Replay this many rows only, and some scenes of each; minutes at most.")
    ] = None,
    allow_code: AllowCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object in place of a table.")] = False,
) -> None:
    """Compute results again from the pipelines and policies that they record, and compare scene by scene."""
    with plugins.untrusted(allow=allow_code):
        rows = replay_oracle(file) if is_oracle(file) else replay_results(file, sample)
    _show([row.as_row() for row in rows], as_json)
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


# Faults of the machine that need no traceback: no space, quota, read-only, too many files.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)


def main() -> None:
    """Run the command line; what the user must change is one line and exit code 2, and a warning is one line."""
    warnings.showwarning = lambda message, *_, **__: print(f"isp-gym: warning: {message}", file=sys.stderr)
    code = 0
    try:
        with interrupts():
            app()
    except UserError as error:
        code = _fail(str(error), 2)
    except Interrupted as error:
        code = _fail(str(error) or "interrupted", 130)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        code = _fail(f"{error.strerror}: {error.filename or 'a file could not be written'}", 2)
    sys.exit(code)


def _fail(message: str, code: int) -> int:
    print(f"isp-gym: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
