"""What a person must change, said in one line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user must change; the command line prints it as one line and exits with code 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Make the error for an unknown name, with the nearest known one as a suggestion.

    Args:
        kind: What is being named, e.g. ``"module"``.
        name: The name that is not known.
        known: The names that are.

    Returns:
        The error to raise, e.g. ``unknown module 'gama'; did you mean 'gamma'? (known: exposure, gamma)``.
    """
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=3)

    def likeness(other: str) -> tuple[float, int]:  # of two that are as near, the one with more letters in a row
        matcher = difflib.SequenceMatcher(None, other, name)
        return matcher.ratio(), matcher.find_longest_match().size

    hint = f"; did you mean '{max(nearest, key=likeness)}'?" if nearest else ""
    return UserError(f"unknown {kind} '{name}'{hint} (known: {', '.join(names) or 'none'})")
