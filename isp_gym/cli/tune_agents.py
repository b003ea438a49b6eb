"""``isp-gym tune-agents``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from isp_gym.cli.options import Configs, JsonLine, Overrides, folder_to_write
from isp_gym.cli.output import console_of, show
from isp_gym.streams import stdout_to_stderr


def tune_agents(
    config: Configs,
    out: Annotated[
        Path,
        typer.Option(
            parser=folder_to_write,
            metavar="FOLDER",
            help="For best.yaml and trials.json; an interrupted search there goes on.",
        ),
    ],
    trials: Annotated[int, typer.Option(min=1, help="Trials of each agent; the first takes it as the config has it.")],
    overrides: Overrides = None,
    agent: Annotated[
        list[str] | None, typer.Option(help="Tune this agent of the config; may be repeated. All if not given.")
    ] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Task evaluations of each seed of each trial; the config's if not given.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of each trial, none of them the config's own.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of the search.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at a time, of different agents and seeds.")] = 1,
    as_json: JsonLine = False,
) -> None:
    """Tune every agent with the same trials and budget on the validation scenes.

    Search spaces are the agents' own; 'tune' in the config changes them.

    \b
    Examples:
      isp-gym tune-agents --config quick --out runs/tuned --trials 30
      isp-gym compare --config quick --config runs/tuned/best.yaml --out runs/best
    """
    from isp_gym.config_files import read_configs

    changes = [*(overrides or ()), *([] if budget is None else [f"budget={budget}"])]
    values = read_configs(config, changes)
    from isp_gym.benchmark.config import load_config
    from isp_gym.tuning.outcome import table
    from isp_gym.tuning.tune import tune

    with stdout_to_stderr(as_json):
        console = console_of(stderr=as_json)
        outcome = tune(load_config(values), out, trials, agent or (), seeds, seed, jobs, console)
    if as_json:
        print(json.dumps(outcome))
    else:
        show(table(outcome), as_json)
        for path in sorted(out.glob("best*.yaml")):
            console.print(f"best options: {path}", highlight=False, soft_wrap=True, markup=False)
