"""How far a number that is computed again may be off: other processors' kernels differ in the last digits."""

from __future__ import annotations

import math

_TOLERANCES = {
    "psnr": 2e-3,  # dB
    "ssim": 2e-4,
    "box_map": 2e-3,  # a detection at a threshold may go either way
    "box_map50": 2e-3,
    "box_map75": 2e-3,
    "mask_map": 2e-3,
    "mask_map50": 2e-3,
    "mask_map75": 2e-3,
    "objective": 1e-3,
    "params": 1e-4,
    "reward": 1e-4,
    "regret": 1e-3,
    "sequence_regret": 1e-3,
}
_OTHERS = 1e-2
"""Relative, for metrics of networks (CLIP-IQA, MUSIQ, ...), whose scales differ."""


def tolerance(name: str, value: float = 0.0) -> float:
    """Return how far a number of that name may be off."""
    return _TOLERANCES.get(name, _OTHERS * max(1.0, abs(value)))


def differs(name: str, recorded: float | None, now: float) -> str:
    """Say what differs from the record, an empty text if nothing does. Nothing is equal to NaN or infinity."""
    then = float("nan") if recorded is None else float(recorded)
    if math.isfinite(then) and abs(then - now) <= tolerance(name, then):
        return ""
    return f"{name} was recorded as {then:.6g} and is {now:.6g}"
