"""Adapters to other libraries."""

from isp_gym.adapters.actions import BoxActions
from isp_gym.adapters.sb3 import to_sb3_vecenv

__all__ = ["BoxActions", "to_sb3_vecenv"]
