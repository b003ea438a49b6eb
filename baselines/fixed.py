"""Agents that learn nothing: the input as it is, and a fixed camera pipeline."""

from __future__ import annotations

from torch import Tensor

from isp_gym.benchmark import Training


class InputAsIs:
    """Changes nothing: the empty pipeline."""

    def train(self, training: Training) -> None:
        """Nothing to learn."""

    def enhance(self, images: Tensor) -> Tensor:
        """The images themselves."""
        return images


class CameraISP:
    """What a simple camera does: gray-world white balance, exposure to a target mean, sRGB gamma.

    It adapts to each image by its statistics alone and is not limited to the ranges of the bank's modules.

    Args:
        target_mean: Linear mean that every image is exposed to; 0.18 is the photographer's middle grey.
    """

    def __init__(self, target_mean: float = 0.18) -> None:
        if not 0 < float(target_mean) < 1:
            raise ValueError(f"target_mean must lie between 0 and 1, not {target_mean}")
        self.target_mean = float(target_mean)

    def train(self, training: Training) -> None:
        """Nothing to learn."""

    def enhance(self, images: Tensor) -> Tensor:
        """Process linear RGB images, (B, 3, H, W) -> (B, 3, H, W) in [0, 1]."""
        means = images.mean(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        # Gray world (Buchsbaum 1980): equal channel means. Bringing each of them to the target is exposure as well.
        linear = (images * (self.target_mean / means)).clamp(0, 1)
        return srgb_gamma(linear)


class CameraJPEG:
    """What the camera itself made of each shot: its JPEG, where the data set has it (LOD, LIS)."""

    sees = "camera"

    def train(self, training: Training) -> None:
        """Nothing to learn."""

    def enhance(self, images: Tensor) -> Tensor:
        """The camera's images themselves."""
        return images


def srgb_gamma(linear: Tensor) -> Tensor:
    """The sRGB transfer function (IEC 61966-2-1) of linear values in [0, 1]."""
    return (12.92 * linear).where(linear <= 0.0031308, 1.055 * linear.clamp_min(0.0031308) ** (1 / 2.4) - 0.055)
