"""The YAML file of a comparison: problems, agents, seeds and budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from isp_gym.benchmark.agent import load_agent
from isp_gym.benchmark.problem import ENV_KEYS, Problem, ProblemKeys
from isp_gym.config import typed
from isp_gym.config_files import Source, read_configs
from isp_gym.data.access import seal
from isp_gym.errors import UserError, unknown

MAX_SEED = 2**64
_FORBIDDEN = '/\\:*?"<>|'  # in file names, on one system or another


@dataclass
class ComparisonKeys:
    """The keys of a comparison that are not a problem's.

    Attributes:
        seeds: One run of every agent for each of these, integers of up to 64 bits.
        pictures: How many test scenes the report shows.
        run_timeout: Seconds after which a run is ended in which nothing was spent meanwhile, neither task evaluations
            nor environment steps; its row says so. 0 for never.
        checkpoint_seconds: A run saves itself at each point of its curve, and when so many seconds have passed.
        keep: How many of the last checkpoints of a run stay.
        agents: Name in the table -> options of the agent, or ``false`` to leave it out. The option ``agent`` names the
            entry point or ``package.module:Class`` where it is not the name itself.
        tune: Name in ``agents`` -> changes to its search space, see :func:`isp_gym.tuning.space.narrowed`.
    """

    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    pictures: int = 6
    run_timeout: float = 3600.0
    checkpoint_seconds: float = 60.0
    keep: int = 2
    agents: dict[str, Any] = field(default_factory=dict, metadata={"example": "{posisp: {}, camera: {}}"})
    tune: dict[str, Any] = field(default_factory=dict)


@dataclass
class CompareConfig(ComparisonKeys):
    """Everything that defines a comparison.

    In YAML the keys of a problem (:class:`isp_gym.benchmark.problem.ProblemKeys`, and every field of
    :class:`isp_gym.envs.config.EnvConfig`) stand beside these, and hold for all problems. ``problems`` names several,
    each with the keys that are its own.

    Attributes:
        problems: By name.
    """

    problems: dict[str, Problem] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> CompareConfig:
        """Make a config from the plain values of a YAML file.

        Raises:
            UserError: A key is unknown, or a value of the wrong type.
        """
        values = dict(values)
        named = values.pop("problems", None)
        own = {f.name: values.pop(f.name) for f in fields(ComparisonKeys) if f.name in values}
        problem_keys = (*ENV_KEYS, *(f.name for f in fields(ProblemKeys)))
        for key in values:
            if key not in problem_keys:
                raise unknown(
                    "config key", str(key), [*problem_keys, *(f.name for f in fields(ComparisonKeys)), "problems"]
                )
        keys = typed(ComparisonKeys, own, "config key")
        keys.agents = {str(name): options for name, options in keys.agents.items() if options is not False}
        return cls(problems=_problems(values, named), **vars(keys))

    def flat(self) -> dict[str, Any]:
        """Return every resolved key as plain values; :meth:`of` makes the same config of them."""
        own = {f.name: getattr(self, f.name) for f in fields(ComparisonKeys)}
        problems = {name: problem.flat() for name, problem in self.problems.items()}
        if list(problems) == [_only_name(problems)]:
            return {**problems[_only_name(problems)], **own}
        return {"problems": problems, **own}

    @property
    def several(self) -> bool:
        """Tell whether there is more than one problem, so that folders and tables name them."""
        return len(self.problems) > 1

    def agent_spec(self, name: str) -> tuple[str, dict[str, Any]]:
        """Return the entry point or class of the agent of that name, and its options."""
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
            with seal("validation", "test"):  # as in the run: an agent's code may read neither
                agent = load_agent(*self.agent_spec(name))
            for problem in self.problems.values():
                agent.check(problem.setting("train"))


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


def read_config(source: Source, overrides: Sequence[str] = ()) -> CompareConfig:
    """Read a config without checking what it asks for; arguments as for :func:`load_config`."""
    return CompareConfig.of(read_configs(source, overrides))


def load_config(
    source: Source, overrides: Sequence[str] = (), num_seeds: int | None = None, only: Sequence[str] = ()
) -> CompareConfig:
    """Read and check the config of a comparison.

    Args:
        source: YAML file or name of a shipped config, several of them, or plain values; see
            :func:`isp_gym.config_files.read_configs`.
        overrides: ``key=value`` changes.
        num_seeds: Use the seeds 0..num_seeds-1.
        only: Names of the agents to keep, each also as ``NAME,NAME``; empty for all.

    Raises:
        UserError: Naming the first fault.
    """
    config = read_config(source, overrides)
    if num_seeds is not None:
        config.seeds = list(range(num_seeds))
    if only:
        config.agents = _chosen(config.agents, only)
    config.check()
    return config


def _chosen(agents: dict[str, Any], only: Sequence[str]) -> dict[str, Any]:
    """Keep the agents of these names, in the config's order."""
    names = [name for given in only for name in ([given] if given in agents else given.split(","))]
    for name in names:
        if name not in agents:
            raise unknown("agent of the config", name, agents)
    return {name: options for name, options in agents.items() if name in names}
