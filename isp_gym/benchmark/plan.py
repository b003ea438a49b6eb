"""What one run is: a problem, an agent with its options, and a seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import isp_gym
from isp_gym.benchmark.agent import Agent, load_agent
from isp_gym.benchmark.config import CompareConfig
from isp_gym.benchmark.files import digest_of, read_json, write_json
from isp_gym.benchmark.problem import Problem
from isp_gym.errors import UserError

CARD, POLICY = "run.json", "policy"


@dataclass(frozen=True)
class Plan:
    """One run of a comparison; it can be pickled.

    Attributes:
        problem: What is learned.
        agent: Name of the agent in the comparison.
        spec: Its entry point or ``package.module:Class``.
        options: Arguments of its constructor.
        seed: Seed of the run.
        pictures: How many processed test scenes are kept as pictures.
        run_timeout: See :class:`isp_gym.benchmark.config.CompareConfig`.
        checkpoint_seconds: Likewise.
        keep: Likewise.
        checksums: Of the data of each split, see :func:`isp_gym.data.data_card`.
        split: What the policy is scored on when it is chosen: ``"test"``, or ``"validation"`` for a training alone.
    """

    problem: Problem
    agent: str
    spec: str
    options: dict[str, Any]
    seed: int
    pictures: int = 0
    run_timeout: float = 0.0
    checkpoint_seconds: float = 60.0
    keep: int = 2
    checksums: dict[str, str] | None = None
    split: str = "test"

    @property
    def digest(self) -> str:
        """Return the digest of what decides the row: a finished run of the same one is not run again."""
        decides = [self.problem.name, self.problem.flat(), self.agent, self.spec, self.options, self.seed]
        return digest_of([*decides, self.pictures, self.checksums, self.split, isp_gym.__version__])

    def make_agent(self) -> Agent:
        """Make the agent, untrained."""
        return load_agent(self.spec, self.options)

    def load_agent(self, folder: Path) -> Agent:
        """Load the agent as it was saved in ``folder``, on the problem's device."""
        agent = self.make_agent()
        agent.load(folder)
        agent.to(self.problem.env.device)
        return agent

    @property
    def card(self) -> dict[str, Any]:
        """All that is needed to use the trained agent again."""
        return {
            "isp_gym": isp_gym.__version__,
            "agent": self.spec,
            "name": self.agent,
            "options": self.options,
            "seed": self.seed,
            "problem": self.problem.name,
            "config": self.problem.flat(),
            "digest": self.digest,
        }

    def write_card(self, folder: Path) -> None:
        """Write the card to ``folder``."""
        write_json(folder / CARD, self.card)

    def is_card_of(self, folder: Path) -> bool:
        """Tell whether ``folder`` holds this very run, finished or not."""
        try:
            return read_card(folder, ["digest"])["digest"] == self.digest
        except UserError:
            return False

    def folder(self, runs: Path, several: bool) -> Path:
        """Return where the run is kept: ``runs/[PROBLEM/]AGENT/seed-N``."""
        parts = [self.problem.name, self.agent] if several else [self.agent]
        return runs.joinpath(*map(folder_name, parts), f"seed-{self.seed}")

    def __str__(self) -> str:
        return f"{self.agent} seed {self.seed}"


def plans_of(config: CompareConfig, checksums: dict[str, dict[str, str]]) -> list[Plan]:
    """List the runs of a comparison in its order: problem by problem, agent by agent, seed by seed."""
    return [
        Plan(
            problem,
            agent,
            *config.agent_spec(agent),
            seed,
            config.pictures,
            config.run_timeout,
            config.checkpoint_seconds,
            config.keep,
            checksums[name],
        )
        for name, problem in config.problems.items()
        for agent in config.agents
        for seed in config.seeds
    ]


def folder_name(name: str) -> str:
    """Quote what some shells and file systems take for their own, so that a name can be a folder's."""
    return quote(name, safe=" []()+,;=@!^~{}'&#")


def read_card(run: Path, keys: Sequence[str] = ("agent", "options", "problem", "config")) -> dict[str, Any]:
    """Read the metadata of a run's folder.

    Raises:
        UserError: It is missing or damaged.
    """
    if not (run / CARD).is_file():
        raise UserError(f"'{run}' is no run; give OUT/runs/AGENT/seed-N of a comparison, or OUT of isp-gym train")
    try:
        card = read_json(run / CARD)
        return {key: card[key] for key in keys}
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise UserError(f"'{run / CARD}' is damaged ({error}); run the comparison again") from error
