"""How everything that can be plugged in is named and found: agents, tasks, networks, rewards, modules, banks, data.

Each kind has an entry-point group ``isp_gym.KIND``. A name is one of ours, an entry point that some installed package
declares, or ``package.module:Name``; the working directory is searched last, so that no file in it hides a package.

A run folder or a results file may name a plug-in, and importing runs its code. Whoever opens somebody's file does so
inside :func:`untrusted`, where only our own names and those that the user has written are imported.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from isp_gym.errors import UserError, unknown

KINDS = ("agents", "tasks", "networks", "rewards", "modules", "banks", "data")
_OURS = "isp-gym"
_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")

# Names that may be imported, in any thread; None for all.
_trusted: frozenset[str] | None = None


def is_class_name(spec: str) -> bool:
    """Whether ``spec`` is of the form ``package.module:Name``."""
    return _CLASS.fullmatch(spec) is not None


def plugin_names(kind: str) -> dict[str, str]:
    """The entry points of a kind: name -> ``package.module:Name``."""
    return {name: point.value for name, point in _points(kind).items()}


def find(kind: str, spec: str, ours: Mapping[str, Any] | None = None) -> Any:
    """Find a plug-in.

    Args:
        kind: One of ``KINDS``.
        spec: One of ``ours``, the name of an entry point, or ``package.module:Name``.
        ours: What comes with ISP Gym and needs no import, by name.

    Returns:
        The object of that name: a class, a function or an instance, as the kind has it.

    Raises:
        UserError: There is no such name, it cannot be imported, or it is not trusted here.
    """
    known, points = ours or {}, _points(kind)
    if spec in known:
        return known[spec]
    if spec in points:
        if _distribution(points[spec]) != _OURS:
            require_trust(spec, f"the {_singular(kind)} '{spec}' of the package '{_distribution(points[spec])}'")
        return _import(kind, spec, points[spec].value)
    if not is_class_name(spec):
        raise unknown(_singular(kind), spec, [*known, *points, "package.module:Name"])
    require_trust(spec, f"the {_singular(kind)} '{spec}'")
    return _import(kind, spec, spec)


def require_trust(spec: str, what: str) -> None:
    """Raise ``UserError`` if ``spec`` is named by somebody's file only; ``what`` says what it is, for the message."""
    if _trusted is not None and spec not in _trusted:
        raise UserError(f"{what} is code that a file asks for; look at it, and add --allow-code to run it")


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


def _import(kind: str, spec: str, target: str) -> Any:
    module_name, _, name = target.partition(":")
    try:
        _search_working_directory_last()
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a broken module raises when it is imported
        raise UserError(f"cannot import {_singular(kind)} '{spec}': {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        raise UserError(f"{_singular(kind)} '{spec}': module '{module_name}' has no '{name}'")
    return getattr(module, name)


def _search_working_directory_last() -> None:
    """Let imports find what lies in the working directory; a console script does not search it by itself."""
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)


@lru_cache(maxsize=len(KINDS))
def _points(kind: str) -> dict[str, EntryPoint]:
    if kind not in KINDS:
        raise ValueError(f"there are no plug-ins of kind '{kind}', only {KINDS}")
    return {point.name: point for point in entry_points(group=f"isp_gym.{kind}")}


def _distribution(point: EntryPoint) -> str:
    return "" if point.dist is None else point.dist.name


def _singular(kind: str) -> str:
    return kind.removesuffix("s")
