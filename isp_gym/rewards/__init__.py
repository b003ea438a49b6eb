"""Rewards that every environment shares: Eq. 3 with its penalty, and terms to be paid for in place of a task's loss."""

from isp_gym.rewards.base import Frame, RewardTerm
from isp_gym.rewards.objective import Objective
from isp_gym.rewards.registry import REWARDS, get_reward, table
from isp_gym.rewards.terminal import TerminalReward

__all__ = ["REWARDS", "Frame", "Objective", "RewardTerm", "TerminalReward", "get_reward", "table"]
