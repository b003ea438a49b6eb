"""Environments; importing :mod:`isp_gym` registers them."""

from __future__ import annotations

import gymnasium as gym

ENTRY_POINTS = {
    "ISP/Sequence-v0": "isp_gym.envs.sequence:Sequence",
    "ISP/Stepwise-v0": "isp_gym.envs.stepwise:Stepwise",
}


def register() -> None:
    """Make the environments known to ``gymnasium.make`` and ``make_vec``; calling it again changes nothing."""
    for env_id, family in ENTRY_POINTS.items():
        if env_id not in gym.registry:
            gym.register(env_id, entry_point=f"{family}Env", vector_entry_point=f"{family}VectorEnv")
