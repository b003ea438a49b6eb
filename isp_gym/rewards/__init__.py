"""Rewards that every environment shares."""

from isp_gym.rewards.terminal import TerminalReward

__all__ = ["TerminalReward"]
