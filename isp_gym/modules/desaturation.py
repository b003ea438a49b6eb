"""Desaturation: towards a weighted black and white."""

from dataclasses import replace

from torch import Tensor

from isp_gym.modules.base import Module, Parameter, luminance, mix, per_image


def desaturation(x: Tensor, amount: Tensor) -> Tensor:
    """Moves images (B, 3, H, W) towards their luminance by ``amount`` (B, 1); below 0 away from it."""
    return mix(x, luminance(x), per_image(amount))


REFERENCE = Module(
    name="desaturation",
    parameters=(Parameter("amount", "", 0.0, 1.0, neutral=0.0),),
    apply=desaturation,
    needs="any",
    gives="any",
    clamps=False,
    formula="lerp(x, lum, a), lum = .27R + .67G + .06B",
    reference="Hu et al., Exposure, TOG 2018",
)
STABLE = replace(REFERENCE, parameters=(Parameter("amount", "", -1.0, 1.0, neutral=0.0),))
