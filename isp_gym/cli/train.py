"""``isp-gym train``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from isp_gym.cli.options import Configs, JsonLine, Overrides, folder_to_write
from isp_gym.cli.output import console_of, print_pipelines
from isp_gym.streams import stdout_to_stderr


def train(
    config: Configs,
    out: Annotated[
        Path,
        typer.Option(parser=folder_to_write, metavar="FOLDER", help="For the policy; evaluate and enhance take it."),
    ],
    overrides: Overrides = None,
    agent: Annotated[str | None, typer.Option(help="Which of the config's agents, if it has several.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the run; the config's first if not given.")] = None,
    problem: Annotated[str | None, typer.Option(help="Which of the config's problems, if it has several.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from what an interrupted training has left.")] = False,
    keep: Annotated[int | None, typer.Option(min=1, help="How many of the last checkpoints stay.")] = None,
    pictures: Annotated[int, typer.Option(min=0, help="Scenes whose pipeline is printed.")] = 3,
    as_json: JsonLine = False,
) -> None:
    """Train one agent with one seed, and say what it has learned; test scenes are left to evaluate.

    \b
    Examples:
      isp-gym train --config quick --agent posisp --out runs/mine
      isp-gym train --config quick --agent posisp --out runs/mine --resume
    """
    from isp_gym.config_files import read_configs

    values = read_configs(config, overrides or ())
    from isp_gym.benchmark.config import read_config
    from isp_gym.benchmark.results import SCHEMA
    from isp_gym.benchmark.status import Status
    from isp_gym.benchmark.table import rich_table, summarise
    from isp_gym.benchmark.train import only_run
    from isp_gym.benchmark.train import train as run_training

    with stdout_to_stderr(as_json):
        settings = only_run(read_config(values), agent, seed, problem)
        settings.keep = keep or settings.keep
        trained = run_training(settings, out, Status(console_of(stderr=True)), resume)
        row, console = trained.row, console_of(stderr=as_json)
        scenes = row["scenes"]
        console.print(rich_table(summarise([row]), f"{row['task']} on {row['data']}, {len(scenes)} validation scenes"))
        _print_sequence(console, scenes)
        print_pipelines(console, scenes, pictures)
        for line in _notes(out, row, trained.was_finished, trained.earlier):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    if as_json:
        print(json.dumps({"schema": SCHEMA, "rows": [row], "data": trained.data}))


def _print_sequence(console: Any, scenes: list[dict[str, Any]]) -> None:
    """Print the sequence that most scenes got, of agents that make pipelines."""
    sequences = Counter(tuple(scene["sequence"]) for scene in scenes if "sequence" in scene)
    for sequence, count in sequences.most_common(1):
        line = f"learned pipeline: {' > '.join(sequence) or 'no module'} ({count} of {len(scenes)} scenes)"
        console.print(line, highlight=False, markup=False)


def _notes(out: Path, row: dict[str, Any], was_finished: bool, earlier: Path | None) -> list[str]:
    """Return what there is to say of the folder."""
    notes = [f"the training in {out} was finished already"] if was_finished else []
    if earlier is not None:
        notes.append(f"the earlier folder is kept in {earlier}")
    if row["policy"] is None:
        return [*notes, f"agent '{row['agent']}' does not save what it learns: {out} holds its scores only"]
    return [*notes, f"policy: {out}; to test it: isp-gym evaluate --policy {out} --split test"]
