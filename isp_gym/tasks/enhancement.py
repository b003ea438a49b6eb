"""Enhancement: make the image look like the well-lit, display-referred target."""

from __future__ import annotations

import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.tasks.base import Task


class Enhancement(Task):
    """Mean squared error to the target as the loss; PSNR and SSIM for evaluation."""

    name = "enhancement"
    score = "psnr"

    def loss(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Mean squared error of each clipped image, (B,), in [0, 1]."""
        return (images.clamp(0, 1) - scenes.targets).square().mean(dim=(1, 2, 3))

    def metrics(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        """PSNR in dB (peak 1, at most 100) and SSIM (Wang et al. 2004: Gaussian window, sigma 1.5), each (B,)."""
        clipped = images.detach().clamp(0, 1).double()
        error = (clipped - scenes.targets).square().mean(dim=(1, 2, 3))
        psnr = -10 * error.clamp_min(1e-10).log10()
        ssim = [
            structural_similarity(
                image.cpu().numpy(),
                target.cpu().double().numpy(),
                channel_axis=0,
                data_range=1.0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
            )
            for image, target in zip(clipped, scenes.targets, strict=True)
        ]
        return {"psnr": psnr.cpu(), "ssim": torch.tensor(ssim, dtype=torch.float64)}
