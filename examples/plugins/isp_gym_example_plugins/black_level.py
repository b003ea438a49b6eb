"""A module, and a bank that holds it."""

from torch import Tensor

from isp_gym.modules import Module, Parameter, get_bank
from isp_gym.modules.base import per_image


def black_level(x: Tensor, pedestal: Tensor) -> Tensor:
    """Subtract a pedestal from images (B, 3, H, W) and stretch the rest back to white; pedestal is (B, 1)."""
    level = per_image(pedestal)
    return (x - level) / (1 - level)


BLACK_LEVEL = Module(
    name="black_level",
    parameters=(Parameter("pedestal", "", 0.0, 0.1, neutral=0.0),),
    apply=black_level,
    input_domain="linear",
    output_domain="linear",
    clamps=False,
    formula="(x - b) / (1 - b)",
    reference="any raw developer",
)


def pedestal_bank() -> list[Module]:
    """List the modules of a small bank, in the order of their tokens."""
    return [BLACK_LEVEL, *get_bank("stable", ["white_balance", "exposure", "gamma"]).modules]
