"""``isp-gym replay``: compute recorded results again, scene by scene, and say what differs.

Of a row three things can be computed again: its pipelines applied to its scenes; its saved policy, asked again; and
what row, curve and run log say of each other. Whatever is at hand is compared; a row of which nothing could be computed
again counts as not replayed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain, product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from isp_gym.benchmark.agent import one_line
from isp_gym.benchmark.config import CompareConfig
from isp_gym.benchmark.evaluation import process
from isp_gym.benchmark.files import digest_of_folder
from isp_gym.benchmark.oracle_file import load_oracle, regret
from isp_gym.benchmark.plan import POLICY, folder_name
from isp_gym.benchmark.policy import load_run
from isp_gym.benchmark.problem import Problem
from isp_gym.benchmark.replay_log import compare_log
from isp_gym.benchmark.results import Row, read_results, row_digest
from isp_gym.benchmark.row import controller_parameters
from isp_gym.benchmark.tolerance import differs, tolerance
from isp_gym.data import SceneSet, data_card
from isp_gym.errors import UserError
from isp_gym.modules.fingerprint import compare_fingerprints
from isp_gym.pipelines import Pipelines
from isp_gym.plugins import Untrusted

_CHUNK = 32


@dataclass
class Replayed:
    """What came of replaying a row.

    Attributes:
        what: Which row.
        checked: What could be computed again, e.g. ``["pipelines", "policy", "log"]``; empty if nothing could.
        faults: What differs, one line each.
        reason: Why nothing could be computed again.
    """

    what: str
    checked: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    reason: str = ""

    def as_row(self) -> dict[str, Any]:
        """Return it as a row of a table."""
        state = "differs" if self.faults else "same" if self.checked else "not replayed"
        says = "; ".join(self.faults) or self.reason
        return {"row": self.what, "result": state, "compared": ", ".join(self.checked), "says": says}


@torch.no_grad()
def replay_results(path: Path, sample: int | None = None) -> list[Replayed]:
    """Replay ``results.json``.

    Args:
        path: The file; the folders of its runs are looked for beside it.
        sample: Replay only this many rows, drawn at random but the same each time, and of each at most as many scenes
            as fit in a batch.

    Returns:
        One for each row.

    Raises:
        UserError: The file is no results.json, or what it names is not to be had here.
    """
    content = read_results(path)
    try:
        config = CompareConfig.of(content["config"])
        for problem in config.problems.values():
            problem.check()
    except UserError as error:
        raise UserError(f"'{path}', its config: {error}") from error
    faults = [
        fault for name, problem in config.problems.items() for fault in _data_faults(problem, content["data"].get(name))
    ]
    faults += _missing(content, config)
    rows = content["rows"]
    if sample is not None:
        rows = random.Random(0).sample(rows, min(sample, len(rows)))
    whole = [Replayed("the file", ["data", "rows"], faults)] if faults else []
    return [*whole, *(_replay_row(row, config, path.parent, sample is not None) for row in rows)]


def _missing(content: dict[str, Any], config: CompareConfig) -> list[str]:
    """Name the runs of the config that the file does not have, has twice, or has too many of."""
    asked = Counter(product(config.problems, config.agents, config.seeds))
    there = Counter((row["problem"], row["agent"], row["seed"]) for row in (*content["rows"], *content["failures"]))
    odd = sorted(((asked - there) + (there - asked)).elements())
    return [
        f"it has {there[run]} rows of {' '.join(map(str, run))}, and its config asks for {asked[run]}"
        for run in odd[:1]
    ]


def _data_faults(problem: Problem, recorded: dict[str, Any] | None) -> list[str]:
    if recorded is None:
        raise UserError(f"the results say nothing of the data of problem '{problem.name}'")
    now = data_card(problem.setting(split).load_scenes() for split in recorded["checksums"])["checksums"]
    return [
        f"data={problem.env.data} has changed since: the {split} split's checksum was {then[:12]}, is {now[split][:12]}"
        for split, then in recorded["checksums"].items()
        if then != now[split]
    ]


def _replay_row(row: Row, config: CompareConfig, folder: Path, quick: bool) -> Replayed:
    one = Replayed(f"{row['problem']} {row['agent']} seed {row['seed']}")
    if row_digest(row) != row["digest"]:
        one.faults.append("the row's digest is wrong: it has been changed by hand")
    problem = config.problems.get(row["problem"])
    if problem is None:
        raise UserError(f"row '{one.what}' is of a problem that the config does not have")
    run = _run_folder(row, config, folder)
    try:
        one.faults += _of_another_problem(row, problem)
        one.faults += compare_fingerprints(row["made_with"]["bank"]["modules"], problem.env.rules.bank)
        scenes = _Scenes(row, problem, quick)
    except (UserError, KeyError, TypeError, ValueError) as error:
        one.faults.append(one_line(error))
        return one
    for name, compare in (("pipelines", _pipelines), ("policy", _policy), ("log", compare_log)):
        try:
            found = compare(row, problem, run, scenes)
        except Untrusted as error:
            found, one.reason = None, one_line(error)
        except (UserError, ValueError) as error:
            found = [f"{name}: {one_line(error)}"]
        if found is not None:
            one.checked.append(name)
            one.faults += found
    if one.checked in ([], ["log"]):
        one.reason = one.reason or "it records no pipelines, and its saved policy is not beside the file"
        one.checked = []
    return one


def _of_another_problem(row: Row, problem: Problem) -> list[str]:
    own = {"task": problem.env.task, "data": problem.env.data}
    return [f"its {key} is {row[key]}, and the config's is {value}" for key, value in own.items() if row[key] != value]


def _run_folder(row: Row, config: CompareConfig, folder: Path) -> Path:
    parts = [row["problem"], row["agent"]] if config.several else [row["agent"]]
    return folder.joinpath("runs", *map(folder_name, parts), f"seed-{row['seed']}")


class _Scenes:
    """The recorded scenes of a row, and how what is computed again is compared with them.

    Raises:
        UserError: A scene is not in the data, or is recorded twice, or some are missing.
    """

    def __init__(self, row: Row, problem: Problem, quick: bool) -> None:
        setting = problem.setting(row["split"])
        self.scenes: SceneSet = setting.load_scenes()
        self.task, self.rules, self.whole = setting.make_task().unmetered, setting.rules, not quick
        recorded = row["scenes"]
        names = [scene["scene"] for scene in recorded]
        if sorted(names) != sorted(self.scenes.ids):
            odd = sorted(set(names) ^ set(self.scenes.ids)) or names
            raise UserError(f"its scenes are not the {len(self.scenes)} of the {row['split']} split: '{odd[0]}'")
        self.recorded = recorded if self.whole else recorded[:_CHUNK]
        for scene in self.recorded:
            if scene["photo"] != self.scenes.photos[self.scenes.index(scene["scene"])]:
                raise UserError(f"scene '{scene['scene']}' is of another photo than '{scene['photo']}'")

    def compare(self, row: Row, make: Any) -> list[str]:
        """List what differs between the recorded metrics and those of ``make(batch, recorded scenes) -> images``."""
        metric, faults = self.task.metric(), list[str]()
        for start in range(0, len(self.recorded), _CHUNK):
            recorded = self.recorded[start : start + _CHUNK]
            batch = self.scenes.batch([self.scenes.index(scene["scene"]) for scene in recorded])
            now = metric.update(make(batch, recorded), batch)
            for i, scene in enumerate(recorded):
                faults += _scene_faults(scene, {name: float(values[i]) for name, values in now.items()})
        whole, then = metric.compute(), row["metrics"]
        if whole.keys() != then.keys():
            faults.append(f"its metrics are {sorted(then)}, those of the task are {sorted(whole)}")
        elif self.whole:
            if metric.left_out() != row["scenes_left_out"]:
                faults.append(f"{metric.left_out()} scenes are left out of the metrics, not {row['scenes_left_out']}")
            faults += [fault for name, value in whole.items() if (fault := differs(name, then[name], value))]
        return faults[:3]


def _scene_faults(recorded: dict[str, Any], now: dict[str, float]) -> list[str]:
    """List what differs in one scene; a metric that it has not is recorded by its absence."""
    found = []
    for name, value in now.items():
        then = recorded.get(name, float("nan"))
        if value != value and then != then:
            continue
        if fault := differs(name, then, value):
            found.append(f"{recorded['scene']}: {fault}")
    return found


def _pipelines(row: Row, problem: Problem, run: Path, scenes: _Scenes) -> list[str] | None:
    """Apply the recorded pipelines again; ``None`` if there are none."""
    if not any("sequence" in scene for scene in row["scenes"]):
        return None

    def make(batch: Any, recorded: Sequence[dict[str, Any]]) -> Tensor:
        return Pipelines.from_records(scenes.rules, recorded).to(batch.images.device)(batch.images)

    return [f"pipelines: {fault}" for fault in scenes.compare(row, make)]


def _policy(row: Row, problem: Problem, run: Path, scenes: _Scenes) -> list[str] | None:
    """Ask the saved policy again, for its pipelines too; ``None`` if it is not at hand."""
    if row["policy"] is None or not (run / POLICY).is_dir():
        return None
    if digest_of_folder(run / POLICY) != row["policy"]:
        return ["policy: the saved weights are not those that the row was made with"]
    agent = load_run(run)
    agent.to(problem.env.device)
    other, refused = [], 0
    if agent.observes != row["observes"]:
        other.append(f"it observes {agent.observes}, not {row['observes']}")
    if (size := controller_parameters(agent)) != row["controller_parameters"]:
        other.append(f"its networks have {size} parameters, not {row['controller_parameters']}")

    def make(batch: Any, recorded: Sequence[dict[str, Any]]) -> Tensor:
        nonlocal refused
        images, pipelines = process(agent, batch, scenes.rules)
        if pipelines is not None:
            refused += int(pipelines.refused.sum())
            other.extend(_pipeline_faults(pipelines, recorded))
        return images

    faults = [*scenes.compare(row, make), *other[:1]]
    if scenes.whole and refused != row["refused"]:
        faults.append(f"{refused} steps are refused, not {row['refused']}")
    if problem.oracle.file and "regret" in row and Path(problem.oracle.file).is_file():
        setting = problem.setting("train")
        again = regret(agent, load_oracle(problem.oracle.file, setting), setting)
        faults += [f for name, value in again.items() if (f := differs(name, row.get(name, float("nan")), value))]
    return [f"policy: {fault}" for fault in faults]


def _pipeline_faults(pipelines: Pipelines, recorded: Sequence[dict[str, Any]]) -> list[str]:
    """List where the policy's pipelines are not the recorded ones."""
    found = []
    for i, scene in enumerate(recorded):
        if list(pipelines.names(i)) != scene.get("sequence"):
            found.append(f"{scene['scene']}: its sequence is {' > '.join(pipelines.names(i))}")
            continue
        pairs = zip(chain(*pipelines.steps(i)), chain(*scene["params"]), strict=True)
        if any(abs(now - then) > tolerance("params") for now, then in pairs):
            found.append(f"{scene['scene']}: its parameters are others")
    return found
