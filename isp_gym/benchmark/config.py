"""The YAML file of a comparison: problems, agents, seeds and budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from isp_gym.benchmark.agent import load_agent
from isp_gym.config import read_yaml, typed
from isp_gym.data import SPLITS
from isp_gym.envs.setting import Setting
from isp_gym.errors import UserError, unknown

# The keys of an environment that a config says flatly; split and number of scenes come from `scenes`.
ENV_KEYS = tuple(f.name for f in fields(Setting) if f.name not in ("split", "num_scenes"))
_DEFAULT_SCENES = {"train": 128, "validation": 16, "test": 16}
_FORBIDDEN = '/\\:*?"<>|'  # in file names, on one system or another
MAX_SEED = 2**64


@dataclass
class SceneCounts:
    """How many scenes each split has.

    Attributes:
        train: Their number; a number that the user gives must be there. Without one all there are, up to 128, are
            taken.
        validation: Likewise, up to 16.
        test: Likewise, up to 16.
        exact: Whether fewer scenes than asked for are an error; otherwise what there is is taken.
    """

    train: int | None = None
    validation: int | None = None
    test: int | None = None
    exact: bool = True


@dataclass
class OracleSettings:
    """How the exact yardstick is found, see :mod:`isp_gym.benchmark.oracle`.

    Attributes:
        file: An ``oracle.json`` to report every agent's regret against; empty for none.
        scenes: Training scenes that each sequence is evaluated on.
        steps: Steps of Adam on the parameters of each scene in a round.
        lr: Its learning rate, on parameters before tanh.
        rounds: How often every sequence is evaluated; from the second round on it also starts from the leaders'
            parameters.
        leaders: How many of the best sequences those are; they get one more round of four times the steps.
    """

    file: str = ""
    scenes: int = 16
    steps: int = 40
    lr: float = 0.3
    rounds: int = 2
    leaders: int = 16


@dataclass
class Problem:
    """One problem to learn: an environment with its scenes, and what may be spent on it.

    Attributes:
        name: What rows, folders and tables call it.
        env: Its environment; ``split`` and ``num_scenes`` are set by :meth:`setting`.
        scenes: Scenes of each split.
        budget: Task evaluations of each agent and seed.
        steps_per_evaluation: Environment steps allowed for each task evaluation of the budget; steps that cost none (a
            stop, a refused module) would otherwise never end.
        curve_points: Points of each learning curve, measured on the validation scenes.
        oracle: The exact yardstick for small banks, and how to find it.
    """

    name: str
    env: Setting
    scenes: SceneCounts = field(default_factory=SceneCounts)
    budget: int = 10000
    steps_per_evaluation: float = 20.0
    curve_points: int = 8
    oracle: OracleSettings = field(default_factory=OracleSettings)

    @classmethod
    def of(cls, name: str, values: Mapping[str, Any]) -> Problem:
        """A problem from flat keys.

        Raises:
            UserError: A key is unknown, or a value of the wrong type.
        """
        own = [f.name for f in fields(cls) if f.name not in ("name", "env")]
        for key in values:
            if key not in (*ENV_KEYS, *own):
                raise unknown("config key", str(key), [*ENV_KEYS, *own])
        env = typed(Setting, {key: values[key] for key in ENV_KEYS if key in values}, "config key")
        rest = typed(_Rest, {key: values[key] for key in own if key in values}, "config key")
        return cls(name, env, **{key: getattr(rest, key) for key in own})

    def flat(self) -> dict[str, Any]:
        """Every resolved key as plain values; :meth:`of` makes the same problem of them."""
        env = {key: value for key, value in asdict(self.env).items() if key in ENV_KEYS}
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("name", "env")}
        return {**env, **{k: asdict(v) if hasattr(v, "__dataclass_fields__") else v for k, v in own.items()}}

    @property
    def step_limit(self) -> int:
        """Environment steps allowed."""
        return round(self.budget * self.steps_per_evaluation)

    def setting(self, split: str) -> Setting:
        """The environment over one split."""
        wanted = getattr(self.scenes, split)
        return replace(self.env, split=split, num_scenes=_DEFAULT_SCENES[split] if wanted is None else wanted)

    def counted(self) -> Problem:
        """The same with the number of scenes that there really are.

        Raises:
            UserError: There are fewer than the user asked for.
        """
        counts = {}
        for split in SPLITS:
            there, wanted = len(self.setting(split).load_scenes()), getattr(self.scenes, split)
            if wanted is not None and there < wanted and self.scenes.exact:
                raise UserError(
                    f"scenes.{split}={wanted}, and data={self.env.data} has {there}; "
                    f"ask for {there}, or take what there is with scenes.exact=false"
                )
            counts[split] = there
        return replace(self, scenes=SceneCounts(**counts, exact=self.scenes.exact))

    def check(self) -> None:
        """Find whatever is wrong without loading an image.

        Raises:
            UserError: Naming the first fault.
        """
        for key in ("budget", "curve_points"):
            if getattr(self, key) < 1:
                raise UserError(f"'{key}' must be at least 1, not {getattr(self, key)}")
        if not self.steps_per_evaluation >= 1:
            raise UserError(f"'steps_per_evaluation' must be at least 1, not {self.steps_per_evaluation}")
        for split in SPLITS:
            self.setting(split).check()


@dataclass
class _Rest:
    """The keys of a problem that are not its environment's."""

    scenes: SceneCounts = field(default_factory=SceneCounts)
    budget: int = 10000
    steps_per_evaluation: float = 20.0
    curve_points: int = 8
    oracle: OracleSettings = field(default_factory=OracleSettings)


@dataclass
class _Own:
    """The keys of a comparison that are not a problem's."""

    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    pictures: int = 6
    run_timeout: float = 3600.0
    checkpoint_seconds: float = 60.0
    keep: int = 2
    agents: dict[str, Any] = field(default_factory=dict)


@dataclass
class CompareConfig:
    """Everything that defines a comparison.

    In YAML the keys of a problem (:class:`Problem`, and every field of :class:`isp_gym.envs.setting.Setting`) stand
    beside these, and hold for all problems. ``problems`` names several, each with the keys that are its own.

    Attributes:
        problems: By name.
        seeds: One run of every agent for each of these, whole numbers of up to 64 bits.
        pictures: How many test scenes the report shows.
        run_timeout: Seconds after which a run is ended in which nothing was spent meanwhile, neither task evaluations
            nor environment steps; its row says so. 0 for never.
        checkpoint_seconds: A run saves itself at each point of its curve, and when so many seconds have passed.
        keep: How many of the last checkpoints of a run stay.
        agents: Name in the table -> options of the agent. The option ``agent`` names the entry point or
            ``package.module:Class`` where it is not the name itself.
    """

    problems: dict[str, Problem]
    seeds: list[int]
    pictures: int
    run_timeout: float
    checkpoint_seconds: float
    keep: int
    agents: dict[str, Any]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> CompareConfig:
        """A config from the plain values of a YAML file.

        Raises:
            UserError: A key is unknown, or a value of the wrong type.
        """
        values = dict(values)
        named = values.pop("problems", None)
        own = {f.name: values.pop(f.name) for f in fields(_Own) if f.name in values}
        problem_keys = (*ENV_KEYS, *(f.name for f in fields(_Rest)))
        for key in values:
            if key not in problem_keys:
                raise unknown("config key", str(key), [*problem_keys, *(f.name for f in fields(_Own)), "problems"])
        return cls(_problems(values, named), **vars(typed(_Own, own, "config key")))

    def flat(self) -> dict[str, Any]:
        """Every resolved key as plain values; :meth:`of` makes the same config of them."""
        own = {f.name: getattr(self, f.name) for f in fields(_Own)}
        problems = {name: problem.flat() for name, problem in self.problems.items()}
        if list(problems) == [_only_name(problems)]:
            return {**problems[_only_name(problems)], **own}
        return {"problems": problems, **own}

    @property
    def several(self) -> bool:
        """Whether there is more than one problem, so that folders and tables name them."""
        return len(self.problems) > 1

    def agent_spec(self, name: str) -> tuple[str, dict[str, Any]]:
        """Entry point or class of the agent of that name, and its options."""
        options = dict(self.agents[name] or {})
        return str(options.pop("agent", name)), options

    def check(self) -> None:
        """Find whatever is wrong before any work is done.

        Raises:
            UserError: Naming the first fault.
        """
        for problem in self.problems.values():
            problem.check()
        if not self.agents:
            raise UserError("the config names no agents; add e.g. 'agents: {posisp: {}, camera: {}}'")
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise UserError(f"'seeds' must be different numbers, at least one, not {self.seeds}")
        if not all(0 <= seed < MAX_SEED for seed in self.seeds):
            raise UserError(f"'seeds' must lie in [0, 2**64), not {self.seeds}")
        for key, least in (("run_timeout", 0), ("checkpoint_seconds", 0), ("keep", 1), ("pictures", 0)):
            if getattr(self, key) < least:
                raise UserError(f"'{key}' must be at least {least}, not {getattr(self, key)}")
        for name in (*self.agents, *self.problems):
            _check_name(name)
        for name, options in self.agents.items():
            if options is not None and not isinstance(options, dict):
                raise UserError(f"agent '{name}': its options must be a mapping, not {options!r}")
            load_agent(*self.agent_spec(name))


def _problems(values: Mapping[str, Any], named: Any) -> dict[str, Problem]:
    if named is None:
        problem = Problem.of("", values)
        problem.name = problem.env.task.partition(":")[0]
        return {problem.name: problem}
    if not isinstance(named, dict) or not named or not all(isinstance(own, dict) for own in named.values()):
        raise UserError("'problems' must map names to their keys, e.g. 'problems: {dark: {data: skimage}}'")
    # Mappings such as scenes are laid over each other key by key, all else is replaced.
    return {str(name): Problem.of(str(name), _over(values, own)) for name, own in named.items()}


def _over(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    laid = dict(base)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(laid.get(key), dict) and key in ("scenes", "oracle")
        laid[key] = {**laid[key], **value} if both else value
    return laid


def _only_name(problems: Mapping[str, Mapping[str, Any]]) -> str:
    """What a lone problem is called by itself; such a config is written flat again."""
    return str(next(iter(problems.values()))["task"]).partition(":")[0]


def _check_name(name: str) -> None:
    """Raise ``UserError`` if a name of an agent or problem is no file name, for folders are called by it."""
    bad = [c for c in name if c in _FORBIDDEN or not c.isprintable()]
    if bad or not name.strip(". ") or len(name.encode()) > 200 or name != name.strip():
        raise UserError(
            f"'{name}' cannot be a folder's name; choose another for this agent or problem, without {_FORBIDDEN}"
        )


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> CompareConfig:
    """Read a config without checking what it asks for; arguments as for :func:`load_config`."""
    return CompareConfig.of(read_yaml(path, overrides))


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
