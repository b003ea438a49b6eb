"""Search spaces: which options of an agent are tuned, and over what ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isp_gym.errors import UserError


@dataclass(frozen=True)
class Float:
    """Tune a real number.

    Attributes:
        low: The smallest value.
        high: The largest value.
        log: Whether its logarithm is searched uniformly; ``low`` is greater than 0 then.
        default: The agent's own value where its constructor's signature does not tell, so that the search knows it.

    Raises:
        UserError: The range is empty, not finite, or has no logarithm.
    """

    low: float
    high: float
    log: bool = False
    default: float | None = None

    def __post_init__(self) -> None:
        _check_range(self)

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is a number in the range."""
        return _is_number(value) and self.low <= value <= self.high


@dataclass(frozen=True)
class Int:
    """Tune an integer; attributes and errors as of :class:`Float`, with both ends included."""

    low: int
    high: int
    log: bool = False
    default: int | None = None

    def __post_init__(self) -> None:
        _check_range(self)
        if not all(isinstance(end, int) for end in (self.low, self.high)):
            raise UserError(f"a range of integers needs integer ends, not {self.low!r} and {self.high!r}")

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is an integer in the range."""
        return _is_number(value) and value == int(value) and self.low <= value <= self.high


@dataclass(frozen=True)
class Choice:
    """Tune by choosing one of several values.

    Attributes:
        values: The values; anything that JSON can hold.
        default: As of :class:`Float`.

    Raises:
        UserError: There is nothing to choose from.
    """

    values: tuple[Any, ...]
    default: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values:
            raise UserError("a choice needs at least one value")

    def contains(self, value: Any) -> bool:
        """Return whether ``value`` is one of the values."""
        return any(type(value) is type(own) and value == own for own in self.values)


Parameter = Float | Int | Choice
Space = Mapping[str, Parameter]


def narrowed(space: Space, changes: Mapping[str, Any], agent: str) -> dict[str, Parameter]:
    """Return a search space with the user's changes.

    Args:
        space: As the agent declares it.
        changes: Option -> ``{low, high, log}``, some of them, or a list of values to choose from, or ``None`` to leave
            the option as it is. Options that the agent does not declare are added.
        agent: Whose space it is, for errors.

    Raises:
        UserError: A change is none of these.
    """
    changed = dict(space)
    for name, change in changes.items():
        what = f"tune.{agent}.{name}"
        if change is None:
            changed.pop(name, None)
        elif isinstance(change, list):
            default = getattr(space.get(name), "default", None)
            changed[str(name)] = _made(what, Choice, {"values": tuple(change), "default": default})
        elif isinstance(change, Mapping):
            changed[str(name)] = _range(what, space.get(name), change)
        else:
            raise UserError(f"'{what}' must be {{low: ..., high: ...}}, a list of values or null, not {change!r}")
    return changed


def check_space(space: Any, agent: str) -> Space:
    """Return what an agent declares as ``search_space``; ``UserError`` if that is no mapping to parameters."""
    if not isinstance(space, Mapping):
        raise UserError(f"agent '{agent}': search_space must map options to Float, Int or Choice, not {space!r}")
    for name, parameter in space.items():
        if not isinstance(parameter, (Float, Int, Choice)):
            raise UserError(f"agent '{agent}': search_space['{name}'] must be Float, Int or Choice, not {parameter!r}")
    return space


def with_option(options: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Return options with one more; a dotted name reaches into mappings."""
    key, _, rest = name.partition(".")
    return {**options, key: with_option(options.get(key) or {}, rest, value) if rest else value}


def option_in(options: Mapping[str, Any], name: str) -> Any:
    """Return the option of a dotted name; ``None`` if it is not among them."""
    value: Any = options
    for key in name.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _range(what: str, declared: Parameter | None, change: Mapping[str, Any]) -> Parameter:
    own = {} if declared is None or isinstance(declared, Choice) else vars(declared)
    values = {**own, **change}
    for key in values:
        if key not in ("low", "high", "log", "default"):
            raise UserError(f"'{what}' has no '{key}'; a range is {{low: ..., high: ..., log: true|false}}")
    if "low" not in values or "high" not in values:
        raise UserError(f"'{what}' needs both low and high")
    whole = isinstance(declared, Int) if own else all(isinstance(values[end], int) for end in ("low", "high"))
    return _made(what, Int if whole else Float, values)


def _made(what: str, cls: type, values: Mapping[str, Any]) -> Any:
    try:
        return cls(**values)
    except UserError as error:
        raise UserError(f"'{what}': {error}") from error


def _check_range(parameter: Float | Int) -> None:
    low, high = parameter.low, parameter.high
    if not (_is_number(low) and _is_number(high) and low <= high):
        raise UserError(f"low must be a finite number that is at most high, not {low!r} with {high!r}")
    if parameter.log and not low > 0:
        raise UserError(f"a logarithmic range must begin above 0, not at {low!r}")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return math.isfinite(value)
