"""Segmenters of the MaskFormer family: a fixed number of queries, each with a class and a mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from isp_gym.networks.base import Detections
from isp_gym.networks.huggingface.boxes import MOST, upsample

#: Models with a test each.
MASK_MODELS = ("Mask2FormerForUniversalSegmentation", "MaskFormerForInstanceSegmentation")


class MaskHead:
    """Losses and detections of a model of :data:`MASK_MODELS`. They have no boxes but those round their masks."""

    loss_names = ("class", "mask")

    def __init__(self, model: Any) -> None:
        self._model = model

    def losses(self, pixels: Tensor, targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return losses (B,), those of the decoder's earlier layers included where the model learns from them."""
        output = self._forward(pixels)
        rows = [self._image_losses(output, i, target) for i, target in enumerate(targets)]
        return {name: torch.stack([row[name] for row in rows]) for name in self.loss_names}

    def _forward(self, pixels: Tensor) -> Any:
        # MaskFormer finds the logits of its earlier layers in its hidden states, and fails without them.
        with _fixed_random(pixels.device):
            return self._model(pixel_values=pixels, output_hidden_states=True, output_auxiliary_logits=True)

    def _image_losses(self, output: Any, i: int, target: dict[str, Tensor]) -> dict[str, Tensor]:
        layers = [{name: logits[i : i + 1] for name, logits in layer.items()} for layer in output.auxiliary_logits]
        with _fixed_random(output.class_queries_logits.device):
            found = self._model.get_loss_dict(
                output.masks_queries_logits[i : i + 1],
                output.class_queries_logits[i : i + 1],
                [target["masks"]],
                [target["class_labels"]],
                layers,
            )
        parts = {"class": "loss_cross_entropy", "mask": ("loss_mask", "loss_dice")}
        return {ours: sum(v for name, v in found.items() if name.startswith(theirs)) for ours, theirs in parts.items()}

    def detect(self, pixels: Tensor, side: int) -> list[Detections]:
        """Decode the detections of the highest scores; boxes and masks in pixels of an image of this side."""
        output = self._forward(pixels)
        pairs = zip(output.class_queries_logits, output.masks_queries_logits, strict=True)
        return [_detections(classes, masks, side) for classes, masks in pairs]


@contextmanager
def _fixed_random(device: torch.device) -> Iterator[None]:
    """Mask2Former compares masks at random points: take the same ones each time, and leave the generator alone."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        yield


def _detections(class_logits: Tensor, mask_logits: Tensor, side: int) -> Detections:
    """Return a class's probability times the mean probability inside the mask is the score, as in Mask2Former."""
    scores = class_logits.softmax(-1)[:, :-1]
    scores, best = scores.flatten().topk(min(MOST, scores.numel()))
    logits = upsample(mask_logits[best // (class_logits.shape[-1] - 1)], side)
    masks = logits > 0
    labels = best % (class_logits.shape[-1] - 1)
    areas = masks.sum((1, 2))
    scores = scores * (logits.sigmoid() * masks).sum((1, 2)) / areas.clamp(min=1)
    order = scores.argsort(descending=True)
    order = order[areas[order] > 0]
    return Detections(_boxes(masks[order]), scores[order], labels[order], masks[order])


def _boxes(masks: Tensor) -> Tensor:
    """Return the box round each mask, (n, 4)."""
    side = masks.shape[-1]
    columns, rows = masks.any(1).float(), masks.any(2).float()
    first = [columns.argmax(1), rows.argmax(1)]
    last = [side - columns.flip(1).argmax(1), side - rows.flip(1).argmax(1)]
    return torch.stack(first + last, 1).float()
