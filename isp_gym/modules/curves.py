"""Per-pixel tone curves (PixelPolish): every pixel its own gamma, gain and offset."""

from __future__ import annotations

import torch
from torch import Tensor

#: Names of the three channels of an action, in order.
CURVE_PARAMETERS = ("gamma", "alpha", "beta")


def physical_curves(curves: Tensor) -> Tensor:
    """Map actions (..., 3, H, W) in [-1, 1] to gamma in [0.5, 2], alpha in [1/sqrt 2, sqrt 2], beta in [-0.1, 0.1].

    The ranges are log-symmetric round the identity, so that 0 changes nothing and noise of mean 0 favours neither
    brighter nor darker.
    """
    gamma, alpha, beta = curves.unbind(-3)
    return torch.stack([gamma.exp2(), (0.5 * alpha).exp2(), 0.1 * beta], dim=-3)


def apply_curves(images: Tensor, curves: Tensor) -> Tensor:
    """Apply ``clip(alpha * x**gamma + beta, 0, 1)`` at every pixel, the same for its three colours.

    Args:
        images: (B, 3, H, W), clipped to [1e-6, 1] before the power.
        curves: (B, 3, H, W) in [-1, 1]: gamma, alpha, beta as in :func:`physical_curves`.

    Returns:
        (B, 3, H, W) in [0, 1].
    """
    gamma, alpha, beta = physical_curves(curves).split(1, dim=1)
    return (alpha * images.clamp(1e-6, 1) ** gamma + beta).clamp(0, 1)
