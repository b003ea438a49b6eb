"""The reward terms by name."""

from __future__ import annotations

from typing import Any

from isp_gym import plugins
from isp_gym.rewards.anchor import Anchor
from isp_gym.rewards.base import RewardTerm
from isp_gym.rewards.eme import EME
from isp_gym.rewards.entropy import Entropy
from isp_gym.rewards.exposedness import Exposedness
from isp_gym.rewards.fidelity import Fidelity
from isp_gym.rewards.gradient import Gradient
from isp_gym.rewards.gray_world import GrayWorld

REWARDS: dict[str, RewardTerm] = {
    term.name: term for term in (Gradient(), Entropy(), EME(), Exposedness(), GrayWorld(), Anchor(), Fidelity())
}


def get_reward(spec: str) -> RewardTerm:
    """Find a reward term.

    Args:
        spec: One of ``REWARDS``, an entry point of the group ``isp_gym.rewards``, or ``package.module:Name``: a
            :class:`RewardTerm`, or a subclass, which is made without arguments.

    Raises:
        UserError: There is no such reward term.

    Example:
        >>> get_reward("entropy").description
        'entropy of the 64-bin histogram of smoothed luminance / 6 bits'
    """
    return plugins.find_instance("rewards", str(spec), RewardTerm, REWARDS)


def table() -> list[dict[str, Any]]:
    """Return what the reward terms declare, one JSON-able row per term: ours, and the installed entry points."""
    rows = [_row(name, term) for name, term in REWARDS.items()]
    return rows + [_row_of_plugin(name) for name in plugins.plugin_names("rewards") if name not in REWARDS]


def _row(name: str, term: RewardTerm) -> dict[str, Any]:
    return {
        "name": name,
        "low": round(term.low, 3),
        "high": term.high,
        "uses": term.uses,
        "description": term.description,
        "reference": term.reference,
    }


def _row_of_plugin(name: str) -> dict[str, Any]:
    try:
        return _row(name, get_reward(name))
    except Exception as error:  # a broken package must not hide what the others offer
        return {"name": name, "low": None, "high": None, "uses": "", "description": f"broken: {error}", "reference": ""}
