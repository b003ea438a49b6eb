"""The three splits, and sealing them: inside ``with sealed("test"):`` nothing can load or read a test scene.

Law 7 of the design: a training environment refuses test scenes at the data layer, not by good manners. The seal is a
context variable, so that it nests, ends with its block whatever happens inside, and does not leak into other tasks.
A thread started inside the block does not inherit it; run the thread's work in ``contextvars.copy_context()``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from isp_gym.errors import UserError, unknown

SPLITS = ("train", "validation", "test")

_SEALED: ContextVar[frozenset[str]] = ContextVar("sealed_splits", default=frozenset())


@contextmanager
def sealed(*splits: str) -> Iterator[None]:
    """Refuse the named splits inside the block: loading or reading their scenes raises ``UserError``.

    Blocks nest, and an inner block cannot open what an outer one sealed.

    Args:
        *splits: Names out of ``SPLITS``.

    Raises:
        UserError: If a name is not a split; nothing is sealed then.
    """
    for split in splits:
        check_split(split)
    token = _SEALED.set(_SEALED.get() | set(splits))
    try:
        yield
    finally:
        _SEALED.reset(token)


def check_split(split: str) -> None:
    """Raise ``UserError`` if ``split`` is not one of ``SPLITS``."""
    if split not in SPLITS:
        raise unknown("split", str(split), SPLITS)


def refuse_sealed(split: str) -> None:
    """Raise ``UserError`` if ``split`` is sealed here."""
    if split in _SEALED.get():
        open_splits = [name for name in SPLITS if name not in _SEALED.get()]
        raise UserError(
            f"the {split} split is sealed here: training must not see {split} scenes; "
            f"use {' or '.join(open_splits) or 'no scenes'}"
        )
