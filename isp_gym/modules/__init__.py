"""The ISP modules, one a file, and the banks that apply batches of pipelines to batches of images."""

from isp_gym.modules.bank import BANKS, MODULE_NAMES, Bank, get_bank
from isp_gym.modules.base import Module, Parameter

__all__ = ["BANKS", "MODULE_NAMES", "Bank", "Module", "Parameter", "get_bank"]
