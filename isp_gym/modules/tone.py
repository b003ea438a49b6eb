"""Tone: a piecewise linear curve of eight steps, shared by the channels."""

from dataclasses import replace

from torch import Tensor

from isp_gym.modules.base import Module, Parameter, per_image

STEPS = 8


def tone(x: Tensor, slopes: Tensor) -> Tensor:
    """Applies the curve through the cumulative ``slopes`` (B, 8) to images (B, 3, H, W)."""
    scaled = slopes * STEPS / (slopes.sum(1, keepdim=True) + 1e-30)
    return sum((x - i / STEPS).clamp(0, 1 / STEPS) * per_image(scaled[:, i : i + 1]) for i in range(STEPS))


def _steps(log: bool) -> tuple[Parameter, ...]:
    return tuple(Parameter(f"t{i}", "", 0.5, 2.0, neutral=1.0, log=log) for i in range(STEPS))


REFERENCE = Module(
    name="tone",
    parameters=_steps(log=False),
    apply=tone,
    needs="any",
    gives="display",
    clamps=True,
    formula="sum_i clip(x - i/8, 0, 1/8) t_i * 8 / sum(t)",
    reference="Hu et al., Exposure, TOG 2018",
)
STABLE = replace(REFERENCE, parameters=_steps(log=True))
