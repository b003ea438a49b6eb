"""A problem to learn: an environment with its scenes, and what may be spent on it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from isp_gym.config import typed
from isp_gym.data import SPLITS, available
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError, unknown

# The keys of an environment that a config says flatly; split and number of scenes come from `scenes`.
ENV_KEYS = tuple(f.name for f in fields(EnvConfig) if f.name not in ("split", "num_scenes"))
_DEFAULT_SCENES = {"train": 128, "validation": 16, "test": 16}


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
    """Settings of the exact reference of small banks, see :mod:`isp_gym.benchmark.oracle`.

    Attributes:
        file: An ``oracle.json`` to report every agent's regret against; empty for none.
        scenes: Training scenes that each sequence is evaluated on.
        steps: Steps of Adam on the parameters of each scene in a round.
        lr: Its learning rate, on pre-tanh parameters.
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
class ProblemKeys:
    """The keys of a problem that are not its environment's.

    Attributes:
        scenes: Scenes of each split.
        budget: Task evaluations of each agent and seed.
        steps_per_evaluation: Environment steps allowed for each task evaluation of the budget; steps that cost none (a
            stop, a refused module) would otherwise never end.
        curve_points: Points of each learning curve, measured on the validation scenes.
        oracle: The exact reference of small banks, and how to find it.
    """

    scenes: SceneCounts = field(
        default_factory=SceneCounts, metadata={"example": "{train: 512, validation: 32, test: 32}"}
    )
    budget: int = 10000
    steps_per_evaluation: float = 20.0
    curve_points: int = 8
    oracle: OracleSettings = field(
        default_factory=OracleSettings, metadata={"example": "{file: runs/oracle/oracle.json}"}
    )


@dataclass
class Problem(ProblemKeys):
    """One problem to learn.

    Attributes:
        name: What rows, folders and tables call it.
        env: Its environment; ``split`` and ``num_scenes`` are set by :meth:`setting`.
    """

    name: str = ""
    env: EnvConfig = field(default_factory=EnvConfig)

    @classmethod
    def of(cls, name: str, values: Mapping[str, Any]) -> Problem:
        """Make a problem from flat keys.

        Raises:
            UserError: A key is unknown, or a value of the wrong type.
        """
        own = [f.name for f in fields(ProblemKeys)]
        for key in values:
            if key not in (*ENV_KEYS, *own):
                raise unknown("config key", str(key), [*ENV_KEYS, *own])
        env = typed(EnvConfig, {key: values[key] for key in ENV_KEYS if key in values}, "config key")
        rest = typed(ProblemKeys, {key: values[key] for key in own if key in values}, "config key")
        return cls(name=name, env=env, **vars(rest))

    def flat(self) -> dict[str, Any]:
        """Return every resolved key as plain values; :meth:`of` makes the same problem of them."""
        env = {key: value for key, value in asdict(self.env).items() if key in ENV_KEYS}
        own = {f.name: getattr(self, f.name) for f in fields(ProblemKeys)}
        return {**env, **{k: asdict(v) if hasattr(v, "__dataclass_fields__") else v for k, v in own.items()}}

    @property
    def step_limit(self) -> int:
        """Return how many environment steps are allowed."""
        return round(self.budget * self.steps_per_evaluation)

    def setting(self, split: str) -> EnvConfig:
        """Return the environment over one split."""
        wanted = getattr(self.scenes, split)
        return replace(self.env, split=split, num_scenes=_DEFAULT_SCENES[split] if wanted is None else wanted)

    def counted(self, splits: Collection[str] = SPLITS) -> Problem:
        """Return the same problem with the number of scenes that there really are.

        Args:
            splits: Those that are counted; the scenes of others are not looked at.

        Raises:
            UserError: There are fewer than the user asked for.
        """
        counts: dict[str, Any] = {}
        for split in splits:
            counts[split] = len(self.setting(split).load_scenes())
            self._check_count(split, counts[split])
        return replace(self, scenes=replace(self.scenes, **counts))

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
            self._check_count(split, available(self.env.data, split, self.env.on_error))

    def _check_count(self, split: str, there: int | None) -> None:
        wanted = getattr(self.scenes, split)
        if there is not None and wanted is not None and there < wanted and self.scenes.exact:
            raise UserError(
                f"scenes.{split}={wanted}, and data={self.env.data} has {there}; "
                f"ask for {there}, or take what there is with scenes.exact=false"
            )
