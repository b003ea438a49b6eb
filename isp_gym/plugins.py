"""How everything that can be plugged in is named and found: agents, tasks, networks, rewards, modules, banks, data.

Each kind has an entry-point group ``isp_gym.KIND``. A name is one of ours, an entry point that some installed package
declares, or ``package.module:Name``, in this order; ``docs/plugins.md`` says what each kind must be. The working
directory is searched last, so that no file in it hides a package, and it is not searched for entry points.

A run folder or a results file may name a plug-in, and importing runs its code. Whoever opens somebody's file does so
inside :func:`untrusted`, where only our own names and those that the user has written are imported. What the process
imported before that stays imported; nothing new runs.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import EntryPoint, distributions
from importlib.util import find_spec
from typing import Any

from isp_gym.errors import UserError, unknown

KINDS = ("agents", "tasks", "networks", "rewards", "modules", "banks", "data")
_OURS = "isp-gym"
_CLASS = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_CLASS_AND_ARGUMENT = re.compile(rf"({_CLASS.pattern})(?::(.*))?", re.DOTALL)

# Names that may be imported, in any thread; None for all.
_trusted: frozenset[str] | None = None


class Untrusted(UserError):
    """A file names code that the user has not."""


def is_class_name(spec: str) -> bool:
    """Whether ``spec`` is of the form ``package.module:Name``."""
    return _CLASS.fullmatch(spec) is not None


def plugin_names(kind: str) -> dict[str, str]:
    """The entry points of a kind: name -> ``package.module:Name``."""
    return {name: points[0].value for name, points in _points(kind).items()}


def split(kind: str, spec: str, ours: Collection[str] = ()) -> tuple[str, str]:
    """Take ``NAME:ARGUMENT`` apart, where NAME may hold a colon itself: ``package.module:Name:ARGUMENT``.

    Args:
        kind: One of ``KINDS``.
        spec: What the user wrote.
        ours: The names that come with ISP Gym. A name before the first colon that is known wins.

    Returns:
        The name as for :func:`find`, and the argument, empty if there is none.
    """
    name, _, argument = spec.partition(":")
    if name not in ours and name not in _points(kind) and (found := _CLASS_AND_ARGUMENT.fullmatch(spec)):
        return found[1], found[2] or ""
    return name, argument


def find(kind: str, spec: str, ours: Mapping[str, Any] | None = None, listed: Iterable[str] | None = None) -> Any:
    """Find a plug-in.

    Args:
        kind: One of ``KINDS``.
        spec: One of ``ours``, the name of an entry point, or ``package.module:Name``.
        ours: What comes with ISP Gym and needs no import, by name.
        listed: How errors list ``ours``; by default by name.

    Returns:
        The object of that name: a class, a function or an instance, as the kind has it.

    Raises:
        UserError: There is no such name, it cannot be imported, or it is not trusted here.
    """
    known, points = ours or {}, _points(kind)
    if spec in known:
        return known[spec]
    if spec in points:
        return _load(kind, points[spec])
    everything = [*(known if listed is None else listed), *points, "package.module:Name"]
    if not is_class_name(spec):
        raise unknown(_singular(kind), spec, everything)
    require_trust(spec, f"the {_singular(kind)} '{spec}'")
    _search_working_directory_last()
    module = spec.partition(":")[0]
    # A slip in one of the names looks like a module, too.
    if "." not in module and module not in sys.modules and find_spec(module) is None:
        raise UserError(f"{unknown(_singular(kind), module, everything)}; nor is there a module '{module}'")
    return _import(kind, spec, spec)


def find_instance(
    kind: str, spec: str, base: type, ours: Mapping[str, Any] | None = None, listed: Iterable[str] | None = None
) -> Any:
    """Find a plug-in that is an instance of ``base``, or a subclass of it, which is made without arguments.

    Args and errors as for :func:`find`; further:

    Raises:
        UserError: It is neither, or the class cannot be made.
    """
    found = find(kind, spec, ours, listed)
    if isinstance(found, type) and issubclass(found, base):
        found = make(kind, spec, found)
    if not isinstance(found, base):
        what = found.__name__ if isinstance(found, type) else f"of type {type(found).__name__}"
        raise UserError(f"{_singular(kind)} '{spec}' is {what}, and no {base.__name__}")
    return found


def make(kind: str, spec: str, factory: Any, **arguments: Any) -> Any:
    """Call what was found; ``UserError`` if it does not take the arguments."""
    try:
        return factory(**arguments)
    except TypeError as error:
        raise UserError(f"cannot make {_singular(kind)} '{spec}': {_line(error)}") from error


def require_trust(spec: str, what: str) -> None:
    """Raise ``Untrusted`` if ``spec`` is named by somebody's file only; ``what`` says what it is, for the message.

    The user has named it, too, as a part of a longer name: ``detection:FILE.pt`` names ``FILE.pt``.
    """
    if _trusted is not None and not any(f":{spec}:" in f":{name}:" for name in _trusted):
        raise Untrusted(f"{what} is code that a file asks for; look at it, and add --allow-code to run it")


@contextmanager
def untrusted(named_by_user: Iterable[str] = (), *, allow: bool = False) -> Iterator[None]:
    """Import no plug-in inside the block but our own and those that the user has named.

    Args:
        named_by_user: Names on the user's command line or in their config.
        allow: ``--allow-code``: import whatever is asked for.
    """
    global _trusted
    outer, _trusted = _trusted, None if allow else frozenset(named_by_user)
    try:
        yield
    finally:
        _trusted = outer


def _load(kind: str, points: tuple[EntryPoint, ...]) -> Any:
    """What an entry point names; those of ISP Gym come first, and no other name may be taken twice."""
    point, name = points[0], points[0].name
    owners = [_distribution(each) for each in points]
    if owners[0] != _OURS:
        if len(points) > 1:
            values = " or ".join(each.value for each in points)
            raise UserError(f"{' and '.join(owners)} each have a {_singular(kind)} '{name}'; write {values}")
        require_trust(name, f"the {_singular(kind)} '{name}' of the package '{owners[0]}'")
    return _import(kind, name, point.value)


def _import(kind: str, spec: str, target: str) -> Any:
    module_name, _, name = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever a broken module raises when it is imported
        raise UserError(f"cannot import {_singular(kind)} '{spec}': {type(error).__name__}: {_line(error)}") from error
    if not hasattr(module, name):
        raise UserError(f"{_singular(kind)} '{spec}': module '{module_name}' has no '{name}'")
    return getattr(module, name)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _search_working_directory_last() -> None:
    """Let imports find what lies in the working directory; a console script does not search it by itself."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


def _points(kind: str) -> dict[str, tuple[EntryPoint, ...]]:
    if kind not in KINDS:
        raise ValueError(f"there are no plug-ins of kind '{kind}', only {KINDS}")
    # Whoever hands on a folder to work in has not installed anything by that.
    return _scan(tuple(entry for entry in sys.path if entry not in ("", os.getcwd())))[kind]


@lru_cache(maxsize=8)
def _scan(path: tuple[str, ...]) -> dict[str, dict[str, tuple[EntryPoint, ...]]]:
    """The entry points of what is installed in the folders of ``path``, by kind and name; ours before others."""
    found: dict[str, dict[str, tuple[EntryPoint, ...]]] = {kind: {} for kind in KINDS}
    points = [point for one in distributions(path=list(path)) for point in one.entry_points if _kind(point) in KINDS]
    for point in sorted(points, key=lambda point: _distribution(point) != _OURS):
        others = found[_kind(point)].get(point.name, ())
        # A package may be there twice; the first on the path is the one that is imported.
        if _distribution(point) not in map(_distribution, others):
            found[_kind(point)][point.name] = (*others, point)
    return found


def _kind(point: EntryPoint) -> str:
    return point.group.removeprefix("isp_gym.") if point.group.startswith("isp_gym.") else ""


def _distribution(point: EntryPoint) -> str:
    return "" if point.dist is None else point.dist.name


def _singular(kind: str) -> str:
    return kind.removesuffix("s")
