"""Instance segmentation: as detection, and the outlines count."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch

from isp_gym.data import Objects, SceneBatch
from isp_gym.errors import UserError
from isp_gym.networks import Network
from isp_gym.tasks.detection import Detection


class Segmentation(Detection):
    """The losses of a frozen segmenter, all of them by default; COCO's mAP of its boxes and of its masks.

    Arguments as for :class:`Detection`.
    """

    name = "segmentation"
    score = "mask_map"
    kinds: ClassVar[tuple[str, ...]] = ("box", "mask")

    def default_losses(self) -> list[str]:
        """See :meth:`Detection.default_losses`."""
        return list(self.network.loss_names)

    def check_network(self, network: Network) -> None:
        """See :meth:`Detection.check_network`."""
        super().check_network(network)
        if "mask" not in network.loss_names:
            raise UserError(
                f"task 'segmentation' needs a network that predicts masks, and this {type(network).__name__} predicts "
                "boxes only; use task=detection or another network (task=segmentation:NETWORK)"
            )

    def ground_truth(self, scenes: SceneBatch) -> list[Objects]:
        """See :meth:`Detection.ground_truth`. Raises ``UserError`` if there are no masks."""
        side = scenes.images.shape[-1]
        ground_truth = super().ground_truth(scenes)
        for one, scene in zip(ground_truth, scenes.ids, strict=True):
            if one.masks is None and len(one):
                raise UserError(
                    f"task 'segmentation' needs masks, and scene '{scene}' has boxes only; "
                    "use data with masks (synthetic, coco:PATH, lis:PATH) or task=detection"
                )
        nothing = torch.zeros(0, side, side, dtype=torch.bool)
        return [one if one.masks is not None else replace(one, masks=nothing) for one in ground_truth]
