"""Versions, extras, processor, accelerator and cache."""

from __future__ import annotations

import os
import platform
import re
import tempfile
from functools import partial
from importlib.metadata import PackageNotFoundError, metadata, version

import torch

import isp_gym
from isp_gym.benchmark.provenance import commit
from isp_gym.data.cache import cache_folder, cache_size
from isp_gym.doctor.check import Check, Skipped

_PACKAGES = ("torch", "gymnasium", "stable-baselines3", "numpy")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*;.*extra\s*==\s*['\"]([^'\"]+)['\"]")


def machine_checks() -> list[Check]:
    """Return the checks of what ISP Gym runs on."""
    own = Check("versions", "isp-gym", lambda: f"{isp_gym.__version__}{f' at {commit()}' if commit() else ''}")
    python = Check("versions", "python", platform.python_version)
    packages = [Check("versions", name, partial(version, name)) for name in _PACKAGES]
    machine = [("cpu", _cpu), ("gpu", _gpu), ("cache folder", _cache)]
    return [own, python, *packages, *(Check("machine", name, do) for name, do in machine)]


def extra_checks() -> list[Check]:
    """Return a check for each optional package of ISP Gym that a user, not a developer of it, may want."""
    found = map(_REQUIREMENT.match, metadata("isp-gym").get_all("Requires-Dist") or [])
    pairs = [(match[1], match[2]) for match in found if match and match[2] != "dev"]
    return [Check("extras", extra, partial(_installed, package, extra)) for package, extra in pairs]


def _installed(package: str, extra: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        raise Skipped(f"needs {package}: pip install 'isp-gym[{extra}]'") from None


def _cpu() -> str:
    affinity = getattr(os, "sched_getaffinity", None)
    usable = len(affinity(0)) if affinity else os.cpu_count()
    kernels = torch.backends.cpu.get_cpu_capability()
    return f"{platform.machine()}, {usable} of {os.cpu_count()} cores, {torch.get_num_threads()} threads, {kernels}"


def _gpu() -> str:
    if not torch.cuda.is_available():
        raise Skipped("needs a GPU that torch can use; everything runs on the CPU")
    total = torch.ones(8, device="cuda").sum()  # a driver may be there, and not work
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"{', '.join(names)}; CUDA {torch.version.cuda}, computes {float(total):g}"


def _cache() -> str:
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"0")
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{folder}: writable, {used / 1e6:,.1f} MB of at most {cache_size() / 1e9:g} GB"
