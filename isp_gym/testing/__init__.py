"""Checks of what you plug in, one for each kind; each raises ``AssertionError``. What is named may be a plug-in's name.

>>> from isp_gym.testing import check_module
>>> from isp_gym.modules import get_bank
>>> for module in get_bank("reference").modules:
...     check_module(module)
"""

from isp_gym.testing.agent import check_agent
from isp_gym.testing.data import check_data_source
from isp_gym.testing.module import check_bank, check_module
from isp_gym.testing.network import check_network
from isp_gym.testing.reward import check_reward
from isp_gym.testing.task import check_task
from isp_gym.testing.vector_env import check_vector_env

__all__ = [
    "check_agent",
    "check_bank",
    "check_data_source",
    "check_module",
    "check_network",
    "check_reward",
    "check_task",
    "check_vector_env",
]
