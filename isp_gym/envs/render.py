"""What an environment shows a person."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_MIN_HEIGHT = 192


def panel(source: Tensor, current: Tensor, target: Tensor) -> NDArray[np.uint8]:
    """Input, current image and target side by side.

    Args:
        source: Linear RGB input, (3, H, W).
        current: The image as it stands, (3, H, W).
        target: The target, (3, H, W).

    Returns:
        uint8 HWC, enlarged by a whole factor to at least 192 rows.
    """
    row = torch.cat([source, current, target], dim=2).detach().clamp(0, 1).mul(255).round().byte()
    image = row.permute(1, 2, 0).cpu().numpy()
    factor = -(-_MIN_HEIGHT // image.shape[0])
    return image.repeat(factor, axis=0).repeat(factor, axis=1)
