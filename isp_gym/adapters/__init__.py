"""Adapters to other libraries."""

from isp_gym.adapters.sb3 import to_sb3_vecenv

__all__ = ["to_sb3_vecenv"]
