"""The YAML file of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from isp_gym.benchmark.agent import load_agent
from isp_gym.benchmark.oracle_file import load_oracle
from isp_gym.config import read_yaml, typed
from isp_gym.envs.setting import Setting
from isp_gym.errors import UserError
from isp_gym.tasks import default_data


@dataclass
class SceneCounts:
    """How many scenes each split has."""

    train: int = 128
    validation: int = 16
    test: int = 16


@dataclass
class OracleSettings:
    """How the exact yardstick is found, see :mod:`isp_gym.benchmark.oracle`.

    Attributes:
        file: An ``oracle.json`` to report every agent's regret against; empty for none.
        scenes: Training scenes that each sequence is tried on.
        steps: Steps of Adam on the parameters of each scene in a round.
        lr: Its step size, on parameters before tanh.
        rounds: How often every sequence is tried; from the second round on it also starts from the leaders' parameters.
        leaders: How many of the best sequences those are; they get one more round of four times the steps.
    """

    file: str = ""
    scenes: int = 16
    steps: int = 40
    lr: float = 0.3
    rounds: int = 2
    leaders: int = 16


@dataclass
class CompareConfig:
    """Everything that defines a comparison.

    Attributes:
        data: As in :class:`isp_gym.envs.setting.Setting`, like all keys up to ``device``.
        scenes: Scenes of each split.
        budget: Task evaluations of each agent and seed.
        seeds: One run of every agent for each of these.
        curve_points: Points of each learning curve, measured on the validation scenes.
        pictures: How many test scenes the report shows.
        oracle: The exact yardstick for small banks, and how to find it.
        agents: Name in the table -> options of the agent. The option ``agent`` names the entry point or
            ``package.module:Class`` where it is not the name itself.
    """

    data: str = ""
    scenes: SceneCounts = field(default_factory=SceneCounts)
    image_size: int = 64
    scene_seed: int = 0
    bank: str = "stable"
    modules: list[str] | None = None
    max_length: int | None = None
    task: str = "enhancement"
    task_options: dict[str, Any] | None = None
    on_error: str = "raise"
    order: str = "free"
    reward: dict[str, float] = field(default_factory=dict)
    device: str = "cpu"
    budget: int = 10000
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    curve_points: int = 8
    pictures: int = 6
    oracle: OracleSettings = field(default_factory=OracleSettings)
    agents: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.data = self.data or default_data(self.task)

    def setting(self, split: str) -> Setting:
        """The setting over one split."""
        counts = asdict(self.scenes)
        own = [key for key in Setting.__dataclass_fields__ if hasattr(self, key)]
        return Setting(split=split, num_scenes=counts[split], **{key: getattr(self, key) for key in own})

    def agent_spec(self, name: str) -> tuple[str, dict[str, Any]]:
        """Entry point or class of the agent of that name, and its options."""
        options = dict(self.agents[name] or {})
        return str(options.pop("agent", name)), options

    def check(self) -> None:
        """Find whatever is wrong before any work is done.

        Raises:
            UserError: Naming the first fault.
        """
        self.check_setting()
        if self.oracle.file:
            load_oracle(self.oracle.file, self.setting("train"))
        if not self.agents:
            raise UserError("the config names no agents; add e.g. 'agents: {posisp: {}, camera: {}}'")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise UserError(f"'seeds' must be different numbers from 0 on, not {self.seeds}")
        for key in ("budget", "curve_points"):
            if getattr(self, key) < 1:
                raise UserError(f"'{key}' must be at least 1, not {getattr(self, key)}")
        for name, options in self.agents.items():
            if options is not None and not isinstance(options, dict):
                raise UserError(f"agent '{name}': its options must be a mapping, not {options!r}")
            load_agent(*self.agent_spec(name))

    def check_setting(self) -> None:
        """Raise ``UserError`` if the scenes, modules, task or reward are not right."""
        for split in asdict(self.scenes):
            self.setting(split).check()


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> CompareConfig:
    """Read a config without checking what it asks for; arguments as for :func:`load_config`."""
    return typed(CompareConfig, read_yaml(path, overrides), "config key")


def load_config(path: str | Path, overrides: Sequence[str] = (), num_seeds: int | None = None) -> CompareConfig:
    """Read and check the config of a comparison.

    Args:
        path: YAML file.
        overrides: ``key=value`` changes.
        num_seeds: Use the seeds 0..num_seeds-1.

    Raises:
        UserError: Naming the first fault.
    """
    config = read_config(path, overrides)
    if num_seeds is not None:
        config.seeds = list(range(num_seeds))
    config.check()
    return config
