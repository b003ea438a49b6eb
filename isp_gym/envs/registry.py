"""The environments' ids: each family, and each of its action-space variants under an id of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym


@dataclass(frozen=True)
class Registered:
    """One id.

    Attributes:
        env_id: What ``gymnasium.make`` takes.
        family: ``package.module:Class`` without the ``Env`` or ``VectorEnv`` at its end.
        actions: Name of the action-space variant.
    """

    env_id: str
    family: str
    actions: str


_FAMILIES = {
    "Sequence": ("isp_gym.envs.sequence:Sequence", {"": "dict", "Box": "box", "MultiDiscrete": "multidiscrete"}),
    "Stepwise": (
        "isp_gym.envs.stepwise:Stepwise",
        {"": "dict", "Box": "box", "MultiDiscrete": "multidiscrete", "Discrete": "discrete"},
    ),
    "PixelCurve": ("isp_gym.envs.pixel_curve:PixelCurve", {"": "box", "MultiDiscrete": "multidiscrete"}),
}

REGISTRY = tuple(
    Registered(f"ISP/{name}{suffix}-v0", family, actions)
    for name, (family, variants) in _FAMILIES.items()
    for suffix, actions in variants.items()
)


def register() -> None:
    """Make the environments known to ``gymnasium.make`` and ``make_vec``; calling it again changes nothing."""
    for env in REGISTRY:
        if env.env_id not in gym.registry:
            gym.register(
                env.env_id,
                entry_point=f"{env.family}Env",
                vector_entry_point=f"{env.family}VectorEnv",
                kwargs={"actions": env.actions},
            )


_REWARDS = {
    "Sequence": "Eq. 3, once",
    "Stepwise": "Eq. 3, dense (default) or terminal",
    "PixelCurve": "Eq. 3, dense (default) or terminal; per pixel in info",
}


def environment_table() -> list[dict[str, Any]]:
    """Return one JSON-able row per id: ``id``, ``observation``, ``action``, ``reward``, at the default settings.

    K = 10 modules, P = 27 parameters, images of 64x64 pixels.
    """
    return [_row(env) for env in REGISTRY]


def environment_markdown(steps_per_second: Mapping[str, float]) -> str:
    """Return the table of environments in Markdown.

    Args:
        steps_per_second: Measured speed by id.
    """
    lines = ["| id | observation | action | reward | steps/s |", "|---|---|---|---|---|"]
    for row in environment_table():
        cells = [f"`{row['id']}`", row["observation"], row["action"], row["reward"]]
        lines.append(f"| {' | '.join(cells)} | {steps_per_second[row['id']]:,.0f} |")
    return "\n".join(lines)


def _row(registered: Registered) -> dict[str, Any]:
    env = gym.make(registered.env_id, num_scenes=1)
    family = next(name for name in _FAMILIES if registered.env_id.startswith(f"ISP/{name}"))
    return {
        "id": registered.env_id,
        "observation": _words(env.observation_space),
        "action": _words(env.action_space),
        "reward": _REWARDS[family],
    }


def _words(space: gym.Space) -> str:
    """A space in short."""
    if isinstance(space, gym.spaces.Dict):
        return ", ".join(f"{key}: {_words(value)}" for key, value in space.items())
    if isinstance(space, gym.spaces.Box):
        return f"Box({space.low.min():g}, {space.high.max():g}, {space.shape})"
    if isinstance(space, gym.spaces.MultiDiscrete):
        counts = space.nvec.flatten().tolist()
        runs = [f"{counts.count(n)} of {n}" for n in dict.fromkeys(counts)]
        return f"MultiDiscrete({', '.join(runs)})"
    return str(space)
