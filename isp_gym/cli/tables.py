"""``isp-gym envs``, ``modules``, ``rewards``, ``agents`` and ``data``: tables of what there is."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from isp_gym.cli.options import JsonFlag
from isp_gym.cli.output import show


def envs(as_json: JsonFlag = False) -> None:
    """Show the registered environments: observation, action and reward at the default settings.

    \b
    Examples:
      isp-gym envs
    """
    from isp_gym.envs import environment_table

    show(environment_table(), as_json)


def modules(bank: Annotated[str, typer.Option(help="Name of the bank.")] = "stable", as_json: JsonFlag = False) -> None:
    """Show the modules of a bank, with their parameters and ranges.

    \b
    Examples:
      isp-gym modules --bank reference
    """
    from isp_gym.modules import get_bank

    rows = get_bank(bank).table()
    show(rows if as_json else [{**row, "parameters": _ranges(row["parameters"])} for row in rows], as_json)


def rewards(as_json: JsonFlag = False) -> None:
    """Show the no-reference rewards that an objective can name.

    \b
    Examples:
      isp-gym rewards
    """
    from isp_gym.rewards import table

    show(table(), as_json)


def agents(as_json: JsonFlag = False) -> None:
    """Show the agents that a config can name.

    \b
    Examples:
      isp-gym agents
    """
    from isp_gym.plugins import plugin_names

    show([{"name": key, "class": value} for key, value in sorted(plugin_names("agents").items())], as_json)


def data(as_json: JsonFlag = False) -> None:
    """Show the data sources.

    \b
    Examples:
      isp-gym data --json
    """
    from isp_gym.data import source_table

    show(source_table(), as_json)


def _ranges(parameters: list[dict[str, Any]]) -> str:
    """Describe parameters, those of the same range together."""
    groups: dict[str, list[str]] = {}
    for p in parameters:
        unit, scale = p["unit"] and f" {p['unit']}", ", log" * (p["scale"] == "log")
        where = f"[{p['low']:.4g}, {p['high']:.4g}]{unit}{scale}, neutral {p['neutral']:.4g}"
        groups.setdefault(where, []).append(p["name"])
    return "\n".join(f"{' '.join(names)}: {where}" for where, names in groups.items())
