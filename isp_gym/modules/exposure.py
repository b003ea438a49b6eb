"""Exposure: a gain in stops."""

import math

from torch import Tensor

from isp_gym.modules.base import Module, Parameter, per_image


def exposure(x: Tensor, ev: Tensor) -> Tensor:
    """Multiply images (B, 3, H, W) by ``2**ev``, ev (B, 1) in stops."""
    return x * per_image((ev * math.log(2)).exp())


REFERENCE = Module(
    name="exposure",
    parameters=(Parameter("exposure", "EV", -3.5, 3.5, neutral=0.0),),
    apply=exposure,
    input_domain="linear",
    output_domain="linear",
    clamps=False,
    formula="x * 2**EV",
    reference="Hu et al., Exposure, TOG 2018",
)
STABLE = REFERENCE
