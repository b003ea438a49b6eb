"""Checks of what you plug in: a vector environment, a module, a task, an agent. Each raises ``AssertionError``.

>>> from isp_gym.testing import check_module
>>> from isp_gym.modules import get_bank
>>> for module in get_bank("reference").modules:
...     check_module(module)
"""

from isp_gym.testing.agent import check_agent
from isp_gym.testing.module import check_module
from isp_gym.testing.task import check_task
from isp_gym.testing.vector_env import check_vector_env

__all__ = ["check_agent", "check_module", "check_task", "check_vector_env"]
