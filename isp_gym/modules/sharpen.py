"""Sharpening against a small blur."""

from dataclasses import replace

from torch import Tensor

from isp_gym.modules.base import Module, Parameter, per_image


def sharpen(x: Tensor, factor: Tensor) -> Tensor:
    """Moves images (B, 3, H, W) away from their blur: ``clip(f x + (1 - f) blur, 0, 1)``, f (B, 1)."""
    f = per_image(factor)
    rows = x[:, :, :, :-2] + x[:, :, :, 1:-1] + x[:, :, :, 2:]
    box = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    blur = x.clone()
    blur[:, :, 1:-1, 1:-1] = (box + 4 * x[:, :, 1:-1, 1:-1]) / 13
    return (f * x + (1 - f) * blur).clamp(0, 1)


REFERENCE = Module(
    name="sharpen",
    parameters=(Parameter("factor", "", 1e-5, 10.0, neutral=1.0),),
    apply=sharpen,
    needs="any",
    gives="any",
    clamps=True,
    formula="clip(f x + (1 - f) blur, 0, 1), blur 3x3 of ones with 5 in the centre, borders keep x",
    reference="Wang et al., AdaptiveISP, NeurIPS 2024",
)
STABLE = replace(REFERENCE, parameters=(Parameter("factor", "", 1 / 8, 8.0, neutral=1.0, log=True),))
