"""The three splits; :mod:`isp_gym.data.access` says who may read them."""

from __future__ import annotations

from isp_gym.errors import unknown

SPLITS = ("train", "validation", "test")


def check_split(split: str) -> None:
    """Raise ``UserError`` if ``split`` is not one of ``SPLITS``."""
    if split not in SPLITS:
        raise unknown("split", str(split), SPLITS)
