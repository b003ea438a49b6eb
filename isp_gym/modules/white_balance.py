"""White balance: a gain a channel, at constant luminance."""

from dataclasses import replace

from torch import Tensor

from isp_gym.modules.base import LUMA, Module, Parameter


def white_balance(x: Tensor, scales: Tensor) -> Tensor:
    """Multiply the channels of (B, 3, H, W) by ``scales`` (B, 3), themselves normalised to luminance one."""
    r, g, b = scales.split(1, 1)
    return x * (scales / (1e-6 + LUMA[0] * r + LUMA[1] * g + LUMA[2] * b))[:, :, None, None]


def _scales(reach: float, log: bool) -> tuple[Parameter, ...]:
    return tuple(Parameter(channel, "", 1 / reach, reach, neutral=1.0, log=log) for channel in "RGB")


REFERENCE = Module(
    name="white_balance",
    parameters=_scales(1.1, log=False),
    apply=white_balance,
    input_domain="linear",
    output_domain="linear",
    clamps=False,
    formula="x * s / (1e-6 + .27 sR + .67 sG + .06 sB)",
    reference="Hu et al., Exposure, TOG 2018",
)
# Cameras need up to 3.5 between two channels (blue under tungsten); [1/2, 2] a channel reaches 4.
STABLE = replace(REFERENCE, parameters=_scales(2.0, log=True))
