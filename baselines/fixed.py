"""Baselines that learn nothing: the input as it is, a fixed camera pipeline, and two bounds from the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from isp_gym.benchmark import Agent, Training
from isp_gym.data.colour import srgb_gamma


class FixedAgent(Agent):
    """Base of baselines without anything to learn or to save."""

    def train(self, training: Training) -> None:
        """Do nothing: there is nothing to learn."""

    def state(self) -> dict[str, Any]:
        """Return nothing: nothing was learned."""
        return {}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Do nothing: nothing was learned."""


class InputAsIs(FixedAgent):
    """Change nothing: the empty pipeline."""

    def enhance(self, images: Tensor) -> Tensor:
        """Return the images themselves."""
        return images


class CameraISP(FixedAgent):
    """Process as a simple camera does: gray-world white balance, exposure to a target mean, sRGB gamma.

    It adapts to each image by its statistics alone and is not limited to the ranges of the bank's modules.

    Args:
        target_mean: Linear mean that every image is exposed to; 0.18 is the photographer's middle grey.

    Raises:
        ValueError: ``target_mean`` is not between 0 and 1.

    Example:
        >>> import torch
        >>> round(CameraISP().enhance(torch.full((1, 3, 4, 4), 0.01)).mean().item(), 3)  # sRGB of the target mean
        0.461
    """

    def __init__(self, target_mean: float = 0.18) -> None:
        if not 0 < float(target_mean) < 1:
            raise ValueError(f"target_mean must lie between 0 and 1, not {target_mean}")
        self.target_mean = float(target_mean)

    def enhance(self, images: Tensor) -> Tensor:
        """Process linear RGB images, (B, 3, H, W) -> (B, 3, H, W) in [0, 1]."""
        means = images.mean(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        # Gray world (Buchsbaum 1980): equal channel means. Bringing each of them to the target is exposure as well.
        linear = (images * (self.target_mean / means)).clamp(0, 1)
        return srgb_gamma(linear)


class CameraJPEG(FixedAgent):
    """Answer with what the camera itself made of each shot: its JPEG, where the data set has it (LOD, LIS)."""

    observes = "camera"

    def enhance(self, images: Tensor) -> Tensor:
        """Return the camera's images themselves."""
        return images


class Original(FixedAgent):
    """Answer with the well-lit photograph itself, where the data has it: an upper bound, no baseline to beat."""

    observes = "target"

    def enhance(self, images: Tensor) -> Tensor:
        """Return the targets themselves."""
        return images
