"""Where results come from: versions of code, modules and data, and the machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

import isp_gym
from isp_gym.modules import Bank


def made_with(bank: Bank, checksums: dict[str, str] | None) -> dict[str, Any]:
    """Collect the versions that a row depends on.

    Args:
        bank: The modules that it was made with.
        checksums: Of the data of each split.

    Returns:
        ``isp_gym`` and ``torch`` versions, ``commit`` (``None`` outside a checkout of ISP Gym), ``bank`` with version
        and some outputs of each module (see :mod:`isp_gym.modules.fingerprint`), and ``data``.
    """
    return {
        "isp_gym": isp_gym.__version__,
        "commit": commit(),
        "torch": torch.__version__,
        "bank": {"name": bank.name, "modules": bank.fingerprint()},
        "data": checksums,
    }


@lru_cache(maxsize=1)
def commit() -> str | None:
    """Find the commit of the checkout that this package lies in, with ``+`` if files were changed since."""
    root = Path(isp_gym.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def machine() -> dict[str, Any]:
    """Describe this machine."""
    return {
        "platform": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpu_count": os.cpu_count(),
        "cpu_kernels": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def peak_memory_mb() -> float | None:
    """Measure the most memory that this process has used, in megabytes, where the system tells."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(used / (1024**2 if sys.platform == "darwin" else 1024), 1)
