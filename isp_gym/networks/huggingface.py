"""Hugging Face transformers' detectors and instance segmenters as networks: bring your own, by folder or by id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from isp_gym.data import Objects
from isp_gym.errors import UserError
from isp_gym.networks.base import Detections, Network
from isp_gym.networks.huggingface_boxes import BOX_MODELS, BoxHead
from isp_gym.networks.huggingface_load import load
from isp_gym.networks.huggingface_masks import MASK_MODELS, MaskHead

_STRIDE = 32  # what the sides of an image must be multiples of; the coarsest of these networks


class HuggingFaceNetwork(Network):
    """A detector or instance segmenter of transformers, frozen.

    Images are resized and normalised as the model's image processor would, but in torch, so that gradients flow. The
    losses are the model's own, weighted as in its training, of each image by itself.

    Args:
        spec: A folder as ``save_pretrained`` writes it, or the id of a model on the hub, e.g. ``PekingU/rtdetr_r18vd``.
        device: Where it lies.

    Raises:
        UserError: transformers is missing, or there is no such model, or it cannot be used; the message says why.
    """

    def __init__(self, spec: str, device: str = "cpu") -> None:
        self._spec = spec
        model, self._processor = load(spec, {**BOX_MODELS, **MASK_MODELS}, device)
        self._head = BoxHead(model) if type(model).__name__ in BOX_MODELS else MaskHead(model)
        names = model.config.id2label
        self.classes = tuple(str(names.get(i, "N/A")) for i in range(model.config.num_labels))
        self.loss_names = self._head.loss_names
        self._device = torch.device(device)
        self._recipes: dict[int, tuple[tuple[int, int], Tensor, Tensor]] = {}

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
        """Objects in transformers' terms: boxes as centre, width and height in units of the image."""
        corners = objects.boxes.to(self._device) / side
        boxes = torch.cat([(corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]], 1)
        target = {"class_labels": objects.labels.to(self._device), "boxes": boxes}
        return target if objects.masks is None else {**target, "masks": objects.masks.to(self._device).float()}

    def _prepare(self, images: Tensor) -> Tensor:
        size, black, white = self._recipe(images.shape[-1])
        if size != images.shape[-2:]:
            images = interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        black, white = black.to(images), white.to(images)
        return black + images * (white - black)

    def _recipe(self, side: int) -> tuple[tuple[int, int], Tensor, Tensor]:
        if side not in self._recipes:
            self._recipes[side] = _recipe(self._processor, side)
        return self._recipes[side]


def _recipe(processor: Any, side: int) -> tuple[tuple[int, int], Tensor, Tensor]:
    """What an image processor makes of a square image: its size, and what black and white become, each (3, 1, 1).

    Rescaling and normalising are affine, so that two images tell all of it, whatever the processor's options are.
    """
    if not processor.do_resize:
        side = -(-side // _STRIDE) * _STRIDE
    # All our images are of one size: there is nothing to pad.
    options = {"do_pad": False} if getattr(processor, "do_pad", None) else {}
    shown = [Image.new("RGB", (side, side), colour) for colour in ("black", "white")]
    black, white = processor(shown, return_tensors="pt", **options)["pixel_values"]
    height, width = black.shape[-2:]
    return (height, width), black[:, :1, :1], white[:, :1, :1]
