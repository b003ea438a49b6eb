"""What a module does, in a few numbers: recorded beside results, they tell later whether it still does the same.

A version says that its author has changed a module on purpose; the numbers tell of what nobody noticed, such as another
version of a library below. They are computed on the CPU in single precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from isp_gym.modules.base import Module

if TYPE_CHECKING:
    from isp_gym.modules.bank import Bank

SIDE = 16  # the smallest image that environments have
NUMBERS = 12
TOLERANCE = 1e-6


def fingerprint(module: Module) -> dict[str, Any]:
    """Record what a module makes of one picture, with parameters that are far from neutral.

    Args:
        module: The module.

    Returns:
        ``version``, and ``outputs``: 12 weighted means, each over every twelfth value of the output, so that every
        value counts.
    """
    with torch.no_grad():
        output = module.apply(_picture(), module.physical(_params(module)))
    values = output.double().flatten()
    weighted = values * (0.5 + 0.5 * _fractions(len(values)))
    return {"version": module.version, "outputs": weighted.reshape(-1, NUMBERS).mean(0).tolist()}


def compare_fingerprints(recorded: Mapping[str, Any], bank: Bank, tolerance: float = TOLERANCE) -> list[str]:
    """Name the modules that are not what they were.

    Args:
        recorded: What :meth:`Bank.fingerprint` gave.
        bank: The bank now; what it holds beyond the record is not looked at.
        tolerance: How far an output may be off, in units of the image's range. Between the CPU kernels ``default`` and
            ``avx2`` (``ATEN_CPU_CAPABILITY``) ours differ by 1.3e-8 at most.

    Returns:
        A line for each module that is missing, or whose version or output differs.

    Raises:
        KeyError, TypeError, ValueError: The record is damaged.
    """
    modules = {module.name: module for module in bank.modules}
    lines = (_difference(name, entry, modules.get(name), tolerance) for name, entry in recorded.items())
    return [line for line in lines if line]


def _difference(name: str, entry: Mapping[str, Any], module: Module | None, tolerance: float) -> str:
    if module is None:
        return f"module '{name}' is not in the bank"
    now = fingerprint(module)
    if now["version"] != entry["version"]:
        return f"module '{name}' has version {now['version']}, and had {entry['version']}"
    off = [abs(a - b) for a, b in zip(now["outputs"], entry["outputs"], strict=True)]
    if all(each <= tolerance for each in off):  # of NaN, neither this nor its contrary is true
        return ""
    return f"module '{name}' has version {now['version']} as before, but is off by {max(off):.2g}"


def _fractions(count: int) -> Tensor:
    """Return numbers all over [0, 1), (count,) float64: multiples of the golden ratio, the same on every machine."""
    return torch.arange(1, count + 1, dtype=torch.float64) * ((math.sqrt(5) - 1) / 2) % 1


def _picture() -> Tensor:
    """Return ramps across and down with a pattern on them, from near black to near white, (1, 3, 16, 16)."""
    ramp = torch.linspace(0, 1, SIDE, dtype=torch.float64)
    across, down = ramp.expand(SIDE, SIDE), ramp[:, None].expand(SIDE, SIDE)
    smooth = torch.stack([across, down, (1 - across) * down + 0.5 * across * (1 - down)])
    pattern = _fractions(smooth.numel()).reshape(smooth.shape)
    return (0.02 + 0.76 * smooth + 0.2 * pattern).float()[None]


def _params(module: Module) -> Tensor:
    """Return normalised parameters between 0.1 and 0.9, at least 0.2 off the neutral ones, (1, n)."""
    values = []
    for value, parameter in zip(_fractions(len(module.parameters)).tolist(), module.parameters, strict=True):
        value, neutral = 0.1 + 0.8 * value, parameter.normalised_neutral
        values.append(value if abs(value - neutral) >= 0.2 else value + 0.4 if value < 0.5 else value - 0.4)
    return torch.tensor([values])
