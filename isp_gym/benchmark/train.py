"""``isp-gym train``: one agent and one seed of a config, resumed where it was interrupted. No test scene is read."""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isp_gym.benchmark.checkpoints import Checkpoints
from isp_gym.benchmark.compare import failure_of, try_scenes
from isp_gym.benchmark.config import CompareConfig
from isp_gym.benchmark.out_folder import OutFolder
from isp_gym.benchmark.plan import CARD, Plan, plans_of, read_card
from isp_gym.benchmark.policy import only_problem
from isp_gym.benchmark.problem import Problem
from isp_gym.benchmark.results import ROW, Row, finished_row
from isp_gym.benchmark.run_context import LOG
from isp_gym.benchmark.status import Status
from isp_gym.benchmark.workers import Worker, run_all, start_server
from isp_gym.data import data_card
from isp_gym.data.access import seal
from isp_gym.errors import UserError, unknown
from isp_gym.interrupts import Interrupted

SPLITS_READ = ("train", "validation")


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes:
        row: As in ``results.json``, scored on the validation scenes.
        data: What the scenes were made from, by problem.
        earlier: Where an earlier folder of the same name was moved, if there was one.
        was_finished: Whether it had been finished before, so that nothing was done now.
    """

    row: Row
    data: dict[str, Any]
    earlier: Path | None = None
    was_finished: bool = False


def only_run(
    config: CompareConfig, agent: str | None = None, seed: int | None = None, problem: str | None = None
) -> CompareConfig:
    """Return a config of one run: one agent, seed and problem of another.

    Args:
        config: As it was read; what is not chosen is not checked.
        agent: Name of the agent; its only one if not given.
        seed: In [0, 2**64); its first if not given.
        problem: Name of the problem; its only one if not given.

    Raises:
        UserError: There is no such agent or problem, there are several to choose from, or what is chosen has a fault.
    """
    chosen, name = only_problem(config, problem), _only_agent(config.agents, agent)
    seeds = config.seeds[:1] if seed is None else [seed]
    agents = {} if name is None else {name: config.agents[name]}
    config = replace(config, problems={chosen.name: chosen}, agents=agents, seeds=seeds)
    config.check()
    return config


def train(config: CompareConfig, out: Path, status: Status | None = None, resume: bool = False) -> Trained:
    """Train one agent with one seed; the policy is the one that a comparison with the same config would train.

    Everything is written to ``OUT.partial`` and moved to ``OUT`` when it is complete. The test split is sealed, for
    this process and the one that trains: the row holds validation scores.

    Args:
        config: A config of one run, see :func:`only_run`.
        out: The folder to write: a run's, which :func:`isp_gym.benchmark.policy.load_run` reads.
        status: Told how far it is.
        resume: Go on from what an interrupted training has left, if there is something; otherwise a checkpoint that is
            there is an error, and an earlier complete folder is kept as ``OUT.1``, ``OUT.2``, ...

    Raises:
        UserError: ``out`` holds something else, or a training with other settings; or the agent failed.
        Interrupted: The user has asked for an end; what can be gone on from is in ``OUT.partial``.
    """
    folder, status = OutFolder(out, "training"), status or Status()
    start_server()
    with seal("test"):
        (problem,) = config.problems.values()
        with status.doing(f"loading {' and '.join(SPLITS_READ)} scenes of {problem.env.data}"):
            plan, data = _plan(config, problem)
        if resume and folder.complete and not folder.partial.exists():
            return Trained(_finished(plan, folder.out), data, was_finished=True)
        with folder.held(resume=False) as partial:
            _check_resumed(plan, partial, resume)
            _run(plan, partial, status)
            row = finished_row(plan.digest, partial / ROW)
            assert row is not None
            return Trained(row, data, folder.publish())


def _only_agent(agents: Collection[str], name: str | None) -> str | None:
    if name is not None and name not in agents:
        raise unknown("agent of the config", name, agents)
    if name is None and len(agents) > 1:
        raise UserError(f"the config has several agents; choose one with --agent: {', '.join(agents)}")
    return next(iter(agents), None) if name is None else name


def _plan(config: CompareConfig, problem: Problem) -> tuple[Plan, dict[str, Any]]:
    """Return the run, with the scenes that there really are, and what these were made from."""
    for split in SPLITS_READ:
        try_scenes(problem.setting(split))
    problem = problem.counted(SPLITS_READ)
    data = {problem.name: data_card(problem.setting(split).load_scenes() for split in SPLITS_READ)}
    checksums = {name: card["checksums"] for name, card in data.items()}
    (plan,) = plans_of(replace(config, problems={problem.name: problem}), checksums)
    return replace(plan, pictures=0, split="validation"), data


def _finished(plan: Plan, out: Path) -> Row:
    """Return the row of the complete training at ``out``; ``UserError`` if that is not the one asked for."""
    row = finished_row(plan.digest, out / ROW)
    if row is None:
        raise UserError(f"'{out}' is finished, and holds {_difference(plan, out)}; leave out --resume to keep it aside")
    return row


def _check_resumed(plan: Plan, partial: Path, resume: bool) -> None:
    """Raise ``UserError`` if what was interrupted in ``partial`` would be lost, or is not what is to go on."""
    if not (partial / CARD).is_file():
        return
    if resume and not plan.is_card_of(partial):
        raise UserError(f"'{partial}' holds {_difference(plan, partial)}; give its settings, or choose another --out")
    if not resume and Checkpoints(partial / "checkpoints", plan.keep).latest() is not None:
        raise UserError(f"'{partial}' holds an interrupted training; go on with --resume, or choose another --out")


def _difference(plan: Plan, folder: Path) -> str:
    """Say in what the run in a folder differs from a plan."""
    if not (folder / CARD).is_file():
        return "no training"
    there, asked = (_flat(card) for card in (read_card(folder, list(plan.card)), plan.card))
    for key in asked.keys() | there.keys():
        if key != "digest" and there.get(key) != asked.get(key):
            return f"a training with {key}={there.get(key)}, not {asked.get(key)}"
    return "a training on other data"


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dots in the keys, as on the command line."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, "" if name == "config" else f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _run(plan: Plan, partial: Path, status: Status) -> None:
    """Train in a process of its own, as a comparison does, and say how far it is."""
    points = _Points(partial / LOG, plan)
    spent, failures = 0, list[str]()

    def on_progress(worker: Worker) -> None:
        nonlocal spent
        spent = worker.spent.value

    def on_end(worker: Worker, said: tuple[str, ...]) -> None:
        if said[0] != "done":
            failures.append(failure_of(worker, said)["error"])

    def now() -> tuple[str, float]:
        budget = plan.problem.budget
        return f"{plan}: {spent:,} of {budget:,} task evaluations{points.text()}", spent / budget

    try:
        with status.doing(f"training {plan} with budget {plan.problem.budget}", now):
            run_all([(plan, partial)], 1, on_progress, on_end)
    except Interrupted as error:
        raise error.saying(
            f"interrupted; the training is kept in '{partial}': the same command with --resume goes on from there"
        ) from None
    if failures:
        raise UserError(failures[0])


class _Points:
    """The last point of the learning curve, from the run's log as it grows."""

    def __init__(self, log: Path, plan: Plan) -> None:
        self._log, self._position, self._text = log, 0, ""
        self._task = plan.problem.setting("validation").make_task()

    def text(self) -> str:
        """Return the validation score in words, to be added to a line; nothing before the first point."""
        with suppress(OSError, ValueError):  # there is no log yet, or it is just cut to where a checkpoint was
            for line in self._new_lines():
                if "point" in (noted := json.loads(line)):
                    score = self._task.score_in(noted["point"])
                    self._text = f", validation {score} {noted['point'][score]:.4g}"
        return self._text

    def _new_lines(self) -> list[bytes]:
        if self._log.stat().st_size < self._position:
            self._position = 0
        with self._log.open("rb") as file:
            file.seek(self._position)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._position += len(whole)
        return whole.splitlines()
