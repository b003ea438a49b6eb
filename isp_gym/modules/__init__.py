"""The ISP modules, one a file, and the banks that apply batches of pipelines to batches of images."""

from isp_gym.modules.bank import Bank
from isp_gym.modules.base import Module, Parameter
from isp_gym.modules.fingerprint import compare_fingerprints
from isp_gym.modules.registry import BANKS, MODULE_NAMES, get_bank

__all__ = ["BANKS", "MODULE_NAMES", "Bank", "Module", "Parameter", "compare_fingerprints", "get_bank"]
