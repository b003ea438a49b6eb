"""Gamma: a power law."""

from dataclasses import replace

from torch import Tensor

from isp_gym.modules.base import Module, Parameter, per_image

FLOOR = 1e-6


def gamma(x: Tensor, exponent: Tensor) -> Tensor:
    """Raises images (B, 3, H, W), floored at 1e-6, to ``exponent`` (B, 1)."""
    return x.clamp_min(FLOOR) ** per_image(exponent)


REFERENCE = Module(
    name="gamma",
    parameters=(Parameter("gamma", "", 1 / 3, 3.0, neutral=1.0),),
    apply=gamma,
    needs="linear",
    gives="display",
    clamps=False,
    formula="max(x, 1e-6)**gamma",
    reference="Hu et al., Exposure, TOG 2018",
)
STABLE = replace(REFERENCE, parameters=(Parameter("gamma", "", 1 / 3, 3.0, neutral=1.0, log=True),))
