"""The terminal reward of POS-ISP (arXiv 2604.06938, Eq. 3 and 4)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TerminalReward:
    """Task improvement less a penalty for images that are too dark or too bright.

    ``R = L(in) - L(out) - P(out)`` (Eq. 3), with
    ``P = low_weight * max(0, low - mean) + high_weight * max(0, mean - high)`` (Eq. 4), where ``mean`` is the image's
    mean over channels and pixels before any clipping: clipped pixels have no gradient, the penalty must still have one.

    Attributes:
        low: Mean below which an image counts as too dark.
        high: Mean above which it counts as too bright.
        low_weight: Penalty per unit of mean below ``low``.
        high_weight: Penalty per unit of mean above ``high``.

    Example:
        >>> import torch
        >>> TerminalReward(low=0.5, low_weight=2.0).penalty(torch.zeros(1, 3, 8, 8))
        tensor([1.])
    """

    low: float = 0.01
    high: float = 0.9
    low_weight: float = 1000.0
    high_weight: float = 10.0

    def penalty(self, images: Tensor) -> Tensor:
        """Compute Eq. 4 for each image: (B, 3, H, W) -> (B,), never negative."""
        mean = images.mean(dim=(1, 2, 3))
        return self.low_weight * (self.low - mean).relu() + self.high_weight * (mean - self.high).relu()
