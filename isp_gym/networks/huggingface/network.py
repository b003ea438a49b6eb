"""Hugging Face transformers' detectors and instance segmenters as networks: bring your own, by folder or by hub id."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from isp_gym.data import Objects
from isp_gym.errors import UserError
from isp_gym.networks.base import Detections, Network
from isp_gym.networks.huggingface.boxes import BOX_MODELS, BoxHead
from isp_gym.networks.huggingface.images import Preparation
from isp_gym.networks.huggingface.load import load
from isp_gym.networks.huggingface.masks import MASK_MODELS, MaskHead


class HuggingFaceNetwork(Network):
    """A detector or instance segmenter of transformers, frozen.

    Images are resized and normalised as its image processor would, but in torch, so that gradients flow. The losses are
    its own, weighted as in its training, of each image by itself.

    Args:
        spec: A folder as ``save_pretrained`` writes it, or the id of a model on the hub, e.g. ``PekingU/rtdetr_r18vd``.
        device: Where it lies.

    Raises:
        UserError: transformers is missing, or there is no such model, or it cannot be used; the message says why.
    """

    def __init__(self, spec: str, device: str = "cpu") -> None:
        self._spec, self._device = spec, device
        model, processor = load(spec, (*BOX_MODELS, *MASK_MODELS), device)
        self._head = BoxHead(model) if type(model).__name__ in BOX_MODELS else MaskHead(model)
        self._prepare = Preparation(processor)
        names = model.config.id2label
        self.classes = tuple(str(names.get(i, "N/A")) for i in range(model.config.num_labels))
        self.loss_names = self._head.loss_names

    def losses(self, images: Tensor, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See :meth:`Network.losses`. Raises ``UserError`` if it learns from masks and the objects have none."""
        if "mask" in self.loss_names and any(one.masks is None for one in objects):
            raise UserError(f"network '{self._spec}' learns from masks, and the scenes have none; take data with masks")
        return self._head.losses(self._prepare(images), [self._target(one, images.shape[-1]) for one in objects])

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[Detections]:
        """See :meth:`Network.detect`. There is no threshold: what is unsure comes last."""
        return self._head.detect(self._prepare(images), images.shape[-1])

    def _target(self, objects: Objects, side: int) -> dict[str, Tensor]:
        """Return objects in transformers' terms: boxes as centre, width and height in units of the image."""
        corners = objects.boxes.to(self._device) / side
        boxes = torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)
        target = {"class_labels": objects.labels.to(self._device), "boxes": boxes}
        return target if objects.masks is None else {**target, "masks": objects.masks.to(self._device).float()}
