"""Typed settings from plain values: YAML files, command lines, options of agents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from isp_gym.errors import UserError, unknown

T = TypeVar("T")


def typed(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """A dataclass from plain values, each checked against its field's type.

    Args:
        cls: The dataclass.
        values: Its fields' values; missing ones keep their defaults.
        what: What is being read, for the error, e.g. ``"config key"``.

    Raises:
        UserError: A key is unknown or a value of the wrong type.
    """
    known = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise unknown(what, str(key), known)
    try:
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(cls), dict(values)))  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        where = getattr(error, "full_key", None)
        raise UserError(f"{what} '{where}': {str(error).splitlines()[0]}") from error


def refuse_contradictions(saved: Mapping[str, Any], given: Mapping[str, Any], owner: str) -> None:
    """Let options that were given explicitly be no others than those that something was saved with.

    Args:
        saved: All options at the time of saving.
        given: Those given now.
        owner: Whose options they are, for the error.

    Raises:
        UserError: A value differs.
        KeyError: An option was not saved.
    """
    for key, value in given.items():
        if saved[key] != value:
            raise UserError(
                f"{owner}: {key}={value!r} contradicts the saved policy's {key}={saved[key]!r}; leave it out"
            )


def read_yaml(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """A YAML file as plain values, with ``key=value`` overrides (dots reach into mappings).

    Raises:
        UserError: The file is missing or not a YAML mapping, or an override has no ``=``.
    """
    if not Path(path).is_file():
        raise UserError(f"no config file at '{path}'")
    _check_overrides(overrides)
    try:
        base = OmegaConf.load(path)
        if not OmegaConf.is_dict(base):
            raise UserError(f"config '{path}' must be a mapping of keys to values")
        merged = OmegaConf.merge(base, OmegaConf.from_dotlist(list(overrides)))
        return OmegaConf.to_container(merged, resolve=True)  # type: ignore[return-value]
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise UserError(f"config '{path}' cannot be read: {' '.join(str(error).split())}") from error


def override(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Plain values with ``key=value`` changes; errors as for :func:`read_yaml`."""
    _check_overrides(overrides)
    try:
        merged = OmegaConf.merge(OmegaConf.create(dict(values)), OmegaConf.from_dotlist(list(overrides)))
        return OmegaConf.to_container(merged, resolve=True)  # type: ignore[return-value]
    except (YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{' '.join(overrides)} cannot be read: {' '.join(str(error).split())}") from error


def words_in(value: Any) -> list[str]:
    """All strings in a plain value, keys of mappings too."""
    if isinstance(value, Mapping):
        return [word for item in value.items() for part in item for word in words_in(part)]
    if isinstance(value, (list, tuple)):
        return [word for part in value for word in words_in(part)]
    return [value] if isinstance(value, str) else []


def names_in(words: Iterable[str]) -> set[str]:
    """What the words of a command line or config may name: ``key=NAME``, ``kind:NAME`` and ``NAME`` alike."""
    found = set()
    for word in words:
        value = word.partition("=")[2] if "=" in word else word
        found |= {value, value.partition(":")[2], value.rpartition(":")[0]}
    return found - {""}


def _check_overrides(overrides: Sequence[str]) -> None:
    for override in overrides:
        if "=" not in override:
            raise UserError(f"override '{override}' is not of the form key=value")
