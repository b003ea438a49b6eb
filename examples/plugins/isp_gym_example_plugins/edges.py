"""A task: keep the edges of the target."""

import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.errors import UserError
from isp_gym.modules.base import luminance
from isp_gym.tasks import MeanMetric, Task


class Edges(Task):
    """Score an image by how far the differences between its neighbouring pixels are from the target's.

    Args:
        weight: Factor of the loss, above 0.

    Raises:
        UserError: ``weight`` is not above 0.
    """

    name = "edges"
    score = "edge_agreement"

    def __init__(self, weight: float = 10.0) -> None:
        if not weight > 0:
            raise UserError(f"edges: weight must be above 0, not {weight!r}")
        self.weight = weight

    def loss(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Return the weighted mean absolute difference of horizontal and vertical slopes of the luminance, (B,)."""
        if scenes.targets is None:
            raise UserError("task 'edges' needs targets, which this data has not; take data=photos or a folder")
        return self.weight * _distance(images, scenes.targets)

    def measures(self, scenes: SceneBatch) -> bool:
        """Say whether the scenes have targets."""
        return scenes.targets is not None

    def metric(self) -> "EdgeAgreement":
        """Make a fresh metric."""
        return EdgeAgreement()


class EdgeAgreement(MeanMetric):
    """``edge_agreement``, in dB: -20 log10 of the mean absolute difference of slopes; higher is better."""

    def measure(self, images: Tensor, scenes: SceneBatch) -> dict[str, Tensor]:
        """Measure each image, (B,) float64 on the CPU."""
        assert scenes.targets is not None  # the benchmark asks Edges.measures first
        distance = _distance(images.double(), scenes.targets.double()).clamp_min(1e-5)
        return {"edge_agreement": (-20 * distance.log10()).cpu()}


def _distance(images: Tensor, targets: Tensor) -> Tensor:
    difference = luminance(images.clamp(0, 1)) - luminance(targets)
    slopes = difference.diff(dim=-1).flatten(1), difference.diff(dim=-2).flatten(1)
    return torch.cat(slopes, dim=1).abs().mean(dim=1)
