"""Typed settings from plain values: YAML files, command lines, options of agents."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from isp_gym.errors import UserError, unknown

T = TypeVar("T")

# YAML 1.1 reads 0100 as 64, and 1:30 as 90.
_MISREAD = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")


def typed(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """Make a dataclass from plain values, each checked against its field's type; a whole float is an integer, too.

    Args:
        cls: The dataclass. A field's metadata may hold an ``"example"`` of its value in YAML, for errors.
        values: Its fields' values; missing ones keep their defaults.
        what: What is being read, for the error, e.g. ``"config key"``.

    Raises:
        UserError: A key is unknown or a value of the wrong type.
    """
    known, hints = {field.name: field for field in fields(cls)}, get_type_hints(cls)  # type: ignore[arg-type]
    made = OmegaConf.structured(cls)
    for key, value in values.items():
        if key not in known:
            raise unknown(what, str(key), known)
        _check_shape(known[key], hints[key], value, what)
        try:
            made = OmegaConf.merge(made, {key: _whole(value, hints[key])})
        except (OmegaConfBaseException, TypeError, ValueError) as error:
            where = getattr(error, "full_key", None) or key
            raise UserError(f"{what} '{where}': {str(error).splitlines()[0]}") from error
    return OmegaConf.to_object(made)  # type: ignore[return-value]


def _check_shape(field: Field[Any], hint: Any, value: Any, what: str) -> None:
    """Raise ``UserError`` where a mapping, a list or a single value is asked for, and another of them is there."""
    if hint is Any or value is None:
        return
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    kinds = [get_origin(member) or member for member in members]
    if any(kind is dict or is_dataclass(kind) for kind in kinds):
        wanted, right = "a mapping", isinstance(value, Mapping)
    elif list in kinds or tuple in kinds:
        wanted, right = "a list", isinstance(value, (list, tuple))
    else:
        wanted, right = "a single value", not isinstance(value, (Mapping, list, tuple))
    if not right:
        default = field.default_factory() if callable(field.default_factory) else None
        example = field.metadata.get("example") or (default if isinstance(default, (list, dict)) and default else "")
        such = f", such as {example}" if example else ""
        raise UserError(f"{what} '{field.name}' must be {wanted}{such}, not {value!r}")


def _whole(value: Any, hint: Any) -> Any:
    """Return the value with whole floats as integers wherever its type asks for integers."""
    if isinstance(value, float) and value.is_integer() and (hint is int or int in get_args(hint)):
        return int(value)
    if isinstance(value, (list, tuple)) and get_args(hint):
        return [_whole(item, get_args(hint)[0]) for item in value]
    if isinstance(value, Mapping) and is_dataclass(hint):
        hints = get_type_hints(hint)
        return {key: _whole(item, hints.get(key)) for key, item in value.items()}
    return value


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
    """Read a YAML file as plain values, with ``key=value`` overrides (dots reach into mappings).

    Raises:
        UserError: The file is missing or not a YAML mapping, or an override has no ``=``.
    """
    return read_layers([path], overrides)


def read_layers(paths: Sequence[str | Path], overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read YAML files as plain values, later ones over earlier ones, then ``key=value`` overrides.

    Mappings are merged key by key; all else, lists too, is replaced. Each file is read once, so that it may be a pipe.

    Raises:
        UserError: As for :func:`read_yaml`.
    """
    _check_overrides(overrides)
    layers = [_load(path) for path in paths]
    where = f"config {', '.join(repr(str(path)) for path in paths)}"
    return _merge(layers, overrides, " ".join([where, *overrides]))


def override(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return plain values with ``key=value`` changes; errors as for :func:`read_yaml`."""
    _check_overrides(overrides)
    return _merge([dict(values)], overrides, " ".join(overrides))


def words_in(value: Any) -> list[str]:
    """List all strings in a plain value, keys of mappings too."""
    if isinstance(value, Mapping):
        return [word for item in value.items() for part in item for word in words_in(part)]
    if isinstance(value, (list, tuple)):
        return [word for part in value for word in words_in(part)]
    return [value] if isinstance(value, str) else []


def names_in(words: Iterable[str]) -> set[str]:
    """Find what the words of a command line or config may name: ``key=NAME``, ``kind:NAME`` and ``NAME`` alike."""
    found = set()
    for word in words:
        value = word.partition("=")[2] if "=" in word else word
        found |= {value, value.partition(":")[2], value.rpartition(":")[0]}
    return found - {""}


def _load(path: str | Path) -> Any:
    """Read one file; the text only once, for it may come from a pipe."""
    if Path(path).is_dir() or not Path(path).exists():
        raise UserError(f"no config file at '{path}'")
    try:
        text = Path(path).read_text(encoding="utf-8")
        _refuse_misread(text)
        base = OmegaConf.load(io.StringIO(text))
    except OSError as error:
        raise UserError(f"config '{path}' cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"config '{path}' cannot be read: {' '.join(str(error).split())}") from error
    except UserError as error:
        raise UserError(f"config '{path}': {error}") from error
    if not OmegaConf.is_dict(base):
        raise UserError(f"config '{path}' must be a mapping of keys to values")
    return base


def _merge(layers: Sequence[Any], overrides: Sequence[str], what: str) -> dict[str, Any]:
    try:
        for change in overrides:
            _refuse_misread(change.partition("=")[2])
        merged = OmegaConf.merge(*layers, OmegaConf.from_dotlist(list(overrides)))
        return OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except (yaml.YAMLError, OmegaConfBaseException, TypeError, ValueError) as error:
        raise UserError(f"{what} cannot be read: {' '.join(str(error).split())}") from error


def _refuse_misread(text: str) -> None:
    """Raise ``UserError`` for a number that YAML takes for another than a person does."""
    for node in _scalars(yaml.compose(text, Loader=yaml.SafeLoader), set()):
        is_number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
        if is_number and _MISREAD.fullmatch(node.value):
            value = yaml.safe_load(node.value)
            raise UserError(f"YAML reads {node.value} as {value}; write a plain number, or quote it if it is text")


def _scalars(node: Any, seen: set[int]) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif node is not None and id(node) not in seen:  # an alias is the node that it names
        seen.add(id(node))
        for part in node.value:
            for each in part if isinstance(part, tuple) else (part,):
                yield from _scalars(each, seen)


def _check_overrides(overrides: Sequence[str]) -> None:
    for override in overrides:
        if "=" not in override:
            raise UserError(f"override '{override}' is not of the form key=value")
