"""Configs of experiments by path, or by the name of one that comes with ISP Gym."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import isp_gym
from isp_gym.config import override, read_layers
from isp_gym.errors import UserError, unknown

Source = str | Path | Sequence[str | Path] | dict[str, Any]
_SUFFIXES = (".yaml", ".yml")


def shipped_configs() -> dict[str, Path]:
    """Return the configs that come with ISP Gym: name -> file."""
    package = Path(isp_gym.__file__).parent
    # In a wheel they lie inside the package; in a checkout, which an editable install uses, beside it.
    folder = next(folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir())
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_config(name: str | Path) -> Path:
    """Find a config.

    Args:
        name: A path, if it is written as one: with a separator, or ending in ``.yaml`` or ``.yml``. Otherwise the name
            of a shipped config, whatever files there are.

    Raises:
        UserError: There is no such file, or no such config.
    """
    path, shipped = Path(name), shipped_configs()
    if isinstance(name, str) and len(path.parts) <= 1 and path.suffix not in _SUFFIXES and "/" not in name:
        if name not in shipped:
            raise UserError(f"{unknown('config', name, shipped)}; a file is written as a path: ./{name or 'mine.yaml'}")
        return shipped[name]
    if path.is_dir() or not path.exists():
        hint = f"; the one that is shipped is --config {path.stem}" if path.stem in shipped else ""
        raise UserError(f"no config file at '{name}'{hint}")
    return path


def read_configs(source: Source, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a config as plain values.

    Args:
        source: What :func:`find_config` finds; or several of these, later ones over earlier ones, as
            :func:`isp_gym.config.read_layers` lays them; or plain values that were read already.
        overrides: ``key=value`` changes.

    Raises:
        UserError: Naming the first fault.
    """
    if isinstance(source, dict):
        return override(source, overrides)
    names = [source] if isinstance(source, (str, Path)) else source
    return read_layers([find_config(name) for name in names], overrides)
