"""What is tuned: an agent with its options and search space, on a problem, over some seeds."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import isp_gym
from isp_gym import plugins
from isp_gym.benchmark.files import finite
from isp_gym.benchmark.plan import Plan, folder_name
from isp_gym.benchmark.problem import Problem
from isp_gym.tasks import Task
from isp_gym.tuning.space import Parameter, option_in, with_option


@dataclass(frozen=True)
class Subject:
    """What is tuned.

    Attributes:
        problem: What it learns in each trial; its ``budget`` is that of each seed of each trial.
        agent: Its name in the comparison.
        spec: Its entry point or ``package.module:Class``.
        options: Its options in the config, which the first trial takes as they are.
        space: The options that are tuned.
        seeds: Of the trainings of each trial.
        run_timeout: See :class:`isp_gym.benchmark.config.CompareConfig`.
        checksums: Of the training and validation data.
    """

    problem: Problem
    agent: str
    spec: str
    options: dict[str, Any]
    space: Mapping[str, Parameter]
    seeds: Sequence[int]
    run_timeout: float
    checksums: dict[str, str]

    @property
    def name(self) -> str:
        """The name of the study."""
        return f"{self.problem.name}/{self.agent}"

    @property
    def task(self) -> Task:
        """The task, which says what metric counts."""
        return self.problem.setting("validation").make_task()

    def plan(self, values: Mapping[str, Any], seed: int) -> Plan:
        """Plan one training with ``values`` of the tuned options."""
        options = self.options
        for name, value in values.items():
            options = with_option(options, name, value)
        return Plan(
            self.problem,
            self.agent,
            self.spec,
            options,
            seed,
            run_timeout=self.run_timeout,
            checksums=self.checksums,
            split="validation",
        )

    def folder(self, trials: Path, number: int) -> Path:
        """Return where a trial is kept: ``trials/PROBLEM/AGENT/NUMBER``."""
        return trials / folder_name(self.problem.name) / folder_name(self.agent) / f"{number:04d}"

    def defaults(self) -> dict[str, Any]:
        """Return the values of the first trial, as far as they are known and lie in the space."""
        declared = _constructor_defaults(self.spec)
        known = {}
        for name, parameter in self.space.items():
            tried = (option_in(self.options, name), parameter.default, declared.get(name))
            known[name] = next((value for value in tried if value is not None), None)
        return {name: value for name, value in known.items() if self.space[name].contains(value)}

    def identity(self) -> dict[str, Any]:
        """Return all that makes the trials of a study comparable, as plain values."""
        whole = {
            "isp_gym": isp_gym.__version__,
            **self.problem.flat(),
            "agent": self.spec,
            "options": self.options,
            "space": {name: repr(parameter) for name, parameter in self.space.items()},
            "seeds": list(self.seeds),
            "data checksums": self.checksums,
        }
        return json.loads(json.dumps(finite(whole), default=str))


def _constructor_defaults(spec: str) -> dict[str, Any]:
    """The defaults in the signature of an agent's constructor."""
    parameters = inspect.signature(plugins.find("agents", spec)).parameters.values()
    return {each.name: each.default for each in parameters if each.default is not inspect.Parameter.empty}
