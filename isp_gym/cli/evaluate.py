"""``isp-gym evaluate``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from isp_gym.cli.options import CONFIG_HELP, AllowCode, JsonLine, Policy
from isp_gym.cli.output import console_of, print_pipelines
from isp_gym.streams import stdout_to_stderr


def evaluate(
    policy: Policy,
    task: Annotated[str | None, typer.Option(help="Downstream task; that of the run, or enhancement.")] = None,
    data: Annotated[str | None, typer.Option(help="Data source; that of the run, or what suits the task.")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    config: Annotated[list[str] | None, typer.Option(metavar="FILE|NAME", help=CONFIG_HELP)] = None,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Changes, e.g. scenes.test=100 image_size=128.")
    ] = None,
    budget: Annotated[int, typer.Option(min=0, help="Task evaluations to train an agent given by name with.")] = 1000,
    problem: Annotated[str | None, typer.Option(help="Which of the config's problems, if it has several.")] = None,
    pictures: Annotated[int, typer.Option(min=0, help="Scenes whose pipeline is printed.")] = 3,
    allow_code: AllowCode = False,
    as_json: JsonLine = False,
) -> None:
    """Measure one policy on the scenes of a split, and say in physical units what it does.

    \b
    Examples:
      isp-gym evaluate --policy camera --data skimage
      isp-gym evaluate --policy runs/quick/runs/posisp/seed-0 --split validation
    """
    from isp_gym.config import names_in, words_in
    from isp_gym.config_files import read_configs

    values = read_configs(config) if config else None
    from isp_gym import plugins
    from isp_gym.benchmark.policy import evaluate_policy, problem_for
    from isp_gym.benchmark.results import SCHEMA
    from isp_gym.benchmark.status import Status
    from isp_gym.benchmark.table import rich_table, summarise
    from isp_gym.data import data_card

    written = [policy, task or "", data or "", *(overrides or ()), *words_in(values)]
    with stdout_to_stderr(as_json), plugins.untrusted(names_in(written), allow=allow_code):
        chosen = problem_for(policy, values, overrides or (), task, data, problem)
        row = evaluate_policy(policy, chosen, split, budget, overrides or (), Status(console_of(stderr=True)))
        cards = {row["problem"]: data_card([chosen.setting(split).load_scenes()])} if as_json else {}
    console = console_of(stderr=as_json)
    console.print(rich_table(summarise([row]), f"{row['task']} on {row['data']}, {len(row['scenes'])} {split} scenes"))
    print_pipelines(console, row["scenes"], pictures)
    if as_json:
        print(json.dumps({"schema": SCHEMA, "rows": [row], "data": cards}))
