"""Tuning of all agents of a config: the same number of trials and the same budget for each, on validation scenes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from rich.console import Console

from isp_gym import plugins
from isp_gym.benchmark.agent import load_agent
from isp_gym.benchmark.config import CompareConfig
from isp_gym.benchmark.progress import Progress
from isp_gym.data import data_card
from isp_gym.errors import UserError, unknown
from isp_gym.interrupts import Interrupted
from isp_gym.tuning.outcome import write_outcome
from isp_gym.tuning.rounds import run_round
from isp_gym.tuning.space import Choice, Parameter, check_space, narrowed, with_option
from isp_gym.tuning.study import Study
from isp_gym.tuning.subject import Subject

STUDIES, TRIALS = "studies.db", "trials"
_SPLITS = ("train", "validation")


def tune(
    config: CompareConfig,
    out: Path,
    trials: int,
    agents: Sequence[str] = (),
    seeds: int = 1,
    seed: int = 0,
    jobs: int = 1,
    console: Console | None = None,
) -> dict[str, Any]:
    """Search for the best options of each agent on each problem of a config; test scenes are never read.

    An interrupted search goes on: trials in ``out`` that are finished count, and one that was cut off is repeated.

    Args:
        config: A checked config; each seed of each trial has the problem's budget.
        out: The folder to write: ``best.yaml``, ``trials.json``, ``studies.db``, ``trials/``.
        trials: Trials of each study, those in ``out`` included; the first takes the agent as the config has it.
        agents: Which of the config's agents; all that declare a search space if empty.
        seeds: Trainings of each trial, with seeds that the config does not use itself; scores are averaged.
        seed: Of the search, from which those of the trainings are counted as well.
        jobs: Trainings at a time, of different agents, problems and seeds; the trials of a study follow each other.
        console: Where progress is shown.

    Returns:
        The content of ``trials.json``.

    Raises:
        UserError: An agent cannot be tuned or fails as the config has it, or ``out`` was made with another config.
    """
    console = console or Console()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    subjects = subjects_of(
        config, agents, list(islice((n for n in count(seed) if n not in config.seeds), seeds)), console
    )
    with _held(out):
        storage = storage_in(out)
        studies = [Study(subject, storage, seed) for subject in subjects]
        try:
            with Progress(console, config.several) as progress:
                while unfinished := [one for one in studies if len(one.done) < trials and not one.fault]:
                    run_round(unfinished, out / TRIALS, jobs, progress, console)
        except Interrupted as error:
            raise error.saying(f"interrupted; what is finished is kept in '{out}': the same command goes on") from None
        finally:
            outcome = write_outcome(studies, config, out)
    faults = [f"agent '{one.subject.agent}' fails as the config has it: {one.fault}" for one in studies if one.fault]
    if faults:
        raise UserError("; ".join(faults))
    return outcome


def subjects_of(config: CompareConfig, agents: Sequence[str], seeds: list[int], console: Console) -> list[Subject]:
    """Return what there is to tune, problem by problem; agents without a search space are named on the console.

    Raises:
        UserError: An agent is not in the config, or has no search space though it is named; or there is none to tune.
    """
    for name in (*agents, *config.tune):
        if name not in config.agents:
            raise unknown("agent of the config", name, config.agents)
    spaces = {name: space_of(config, name) for name in agents or config.agents}
    for name in [name for name, space in spaces.items() if not space]:
        line = f"agent '{name}' has nothing to tune: it declares no search_space, and 'tune.{name}' names no option"
        if agents:
            raise UserError(line)
        console.print(line, highlight=False, markup=False)
        del spaces[name]
    if not spaces:
        raise UserError("the config has no agent that declares a search space; see docs/tuning.md")
    problems = [problem.counted(_SPLITS) for problem in config.problems.values()]
    checksums = [data_card(one.setting(split).load_scenes() for split in _SPLITS)["checksums"] for one in problems]
    return [
        Subject(problem, name, *config.agent_spec(name), space, seeds, config.run_timeout, sums)
        for problem, sums in zip(problems, checksums, strict=True)
        for name, space in spaces.items()
    ]


def space_of(config: CompareConfig, name: str) -> dict[str, Parameter]:
    """Return the search space of an agent of the config: what its class declares, with the user's changes.

    Raises:
        UserError: A change cannot be read, or names no option of the agent.
    """
    spec, options = config.agent_spec(name)
    declared = check_space(getattr(plugins.find("agents", spec), "search_space", {}), name)
    changes = config.tune.get(name) or {}
    if not isinstance(changes, Mapping):
        raise UserError(f"'tune.{name}' must map options to ranges, not {changes!r}")
    space = narrowed(declared, changes, name)
    for option in space.keys() - declared.keys():
        parameter = space[option]
        value = parameter.values[0] if isinstance(parameter, Choice) else parameter.low
        load_agent(spec, with_option(options, option, value))
    return space


def storage_in(out: Path) -> optuna.storages.RDBStorage:
    """Return the storage of the studies in a folder."""
    path = out.resolve() / STUDIES
    # Connected to by its path: in a URL, some characters of a folder's name would mean something.
    return optuna.storages.RDBStorage("sqlite:///studies.db", {"creator": lambda: sqlite3.connect(path)})


@contextmanager
def _held(out: Path) -> Iterator[None]:
    """Hold ``out``, made if need be, against other processes."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()) and not (out / STUDIES).is_file():
            raise UserError(f"'{out}' exists and was not made by isp-gym tune-agents; choose another --out")
        with FileLock(out / ".lock", timeout=0):
            yield
    except Timeout:
        raise UserError(f"'{out}' is being written by another process; wait, or choose another --out") from None
    except (FileExistsError, NotADirectoryError) as error:
        raise UserError(f"cannot write to '{out}': {error.strerror}") from error
