"""``isp-gym doctor``: whether everything that is installed works on this machine, in seconds and without a download."""

from isp_gym.doctor.check import Check, Finding, Skipped
from isp_gym.doctor.examine import everything, examine

__all__ = ["Check", "Finding", "Skipped", "everything", "examine"]
