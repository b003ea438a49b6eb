"""Enhancement: make the image look like the well-lit, display-referred target."""

from __future__ import annotations

from collections.abc import Callable

import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.errors import UserError, unknown
from isp_gym.tasks.base import MeanMetric, Task


class Enhancement(Task):
    """Distance to the target as the loss; PSNR and SSIM for evaluation.

    Args:
        loss: ``"mse"``: mean squared error; ``"l1"``: mean absolute error; ``"ssim"``: 1 - SSIM (Wang et al. 2004).
    """

    name = "enhancement"
    score = "psnr"

    def __init__(self, loss: str = "mse") -> None:
        if loss not in _LOSSES:
            raise unknown("enhancement loss", str(loss), _LOSSES)
        self._distance = _LOSSES[loss]

    def loss(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Return distance of each clipped image to its target, (B,)."""
        return self._distance(images.clamp(0, 1), targets_of(scenes))

    def measures(self, scenes: SceneBatch) -> bool:
        """Tell whether they have targets."""
        return scenes.targets is not None

    def metric(self) -> EnhancementMetric:
        """Make a fresh metric: PSNR and SSIM."""
        return EnhancementMetric()


class EnhancementMetric(MeanMetric):
    """PSNR in dB (peak 1, at most 100) and SSIM (Wang et al. 2004: Gaussian window, sigma 1.5) of clipped images.

    A scene whose target is constant (see :func:`is_constant`), such as a photo with the lens cap on, has neither: any
    pipeline that ends in one grey is right there to the last bit, so that a few such scenes would decide the means.
    """

    def measure(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        """Measure both, (B,) float64; NaN where the target is constant."""
        clipped, targets = images.clamp(0, 1).double(), targets_of(scenes)
        psnr = -10 * _mse(clipped, targets).clamp_min(1e-10).log10()
        similarity = [
            structural_similarity(
                image.cpu().numpy(),
                target.cpu().double().numpy(),
                channel_axis=0,
                data_range=1.0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for image, target in zip(clipped, targets, strict=True)
        ]
        metrics = {"psnr": psnr.cpu(), "ssim": torch.tensor(similarity, dtype=torch.float64)}
        constant = is_constant(targets).cpu()
        return {name: values.masked_fill(constant, torch.nan) for name, values in metrics.items()}


def is_constant(images: Tensor) -> Tensor:
    """Tell images that show nothing: every channel's standard deviation over the pixels is below 1/255.

    That is one level of an 8-bit photo: what varies less is rounding and the sensor's noise, no subject.

    Args:
        images: (B, 3, H, W) in [0, 1].

    Returns:
        (B,) bool.
    """
    return (images.double().std(dim=(2, 3), correction=0) < 1 / 255).all(dim=1)


def targets_of(scenes: SceneBatch) -> Tensor:
    """Return the target images, (B, 3, S, S).

    Raises:
        UserError: The data has none.
    """
    if scenes.targets is None:
        raise UserError(
            f"task 'enhancement' needs target images, and scene '{scenes.ids[0]}' has none; "
            "use data with targets (e.g. folder:PATH, fivek:PATH) or another task"
        )
    return scenes.targets


def _mse(images: Tensor, targets: Tensor) -> Tensor:
    return (images - targets).square().mean(dim=(1, 2, 3))


def _l1(images: Tensor, targets: Tensor) -> Tensor:
    return (images - targets).abs().mean(dim=(1, 2, 3))


def _one_minus_ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Return 1 - SSIM with the window, constants and valid region of the metric, but differentiable, (B,)."""
    from pytorch_msssim import ssim  # here, for no other loss needs it

    return 1 - ssim(images, targets, data_range=1.0, size_average=False, win_size=11, win_sigma=1.5)


_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mse": _mse, "l1": _l1, "ssim": _one_minus_ssim}
