"""Detectors of the DETR family: a fixed number of queries, each with a class and a box, and with a mask in some."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from isp_gym.networks.base import Detections

MOST = 100  # detections of one image, as in COCO's evaluation

#: Models with a test each, and the axis of the batch in the outputs of all their decoder layers.
BOX_MODELS = {
    "DetrForObjectDetection": 1,
    "DetrForSegmentation": 1,
    "ConditionalDetrForObjectDetection": 1,
    "DeformableDetrForObjectDetection": 1,
    "TableTransformerForObjectDetection": 1,
    "YolosForObjectDetection": 1,
    "RTDetrForObjectDetection": 0,
    "RTDetrV2ForObjectDetection": 0,
    "DFineForObjectDetection": 0,
}

#: Kinds of loss in transformers' loss_dict, e.g. ``loss_giou_aux_0``, and the loss of ours that each is part of.
_GROUPS = {"ce": "class", "vfl": "class", "bbox": "box", "giou": "box", "mask": "mask", "dice": "mask"}


class PerImageLoss:
    """A model's own loss function, called for each image of the batch by itself.

    transformers' losses are means over the objects of a whole batch: an image's loss would depend on the others.

    Args:
        function: The model's ``loss_function``.
        axis: The axis of the batch in ``outputs_class`` and ``outputs_coord``; it is the first one in all else.
    """

    def __init__(self, function: Callable[..., Any], axis: int) -> None:
        self._function, self._axis = function, axis
        self._names = list(inspect.signature(function).parameters)

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Tensor, dict[str, Tensor], None]:
        """Stand in for the function: the total (B,), and each entry of its loss_dict (B,)."""
        given = {**dict(zip(self._names, args, strict=False)), **kwargs}
        results = [
            self._function(**{name: self._part(name, value, i) for name, value in given.items()})
            for i in range(len(given["labels"]))
        ]
        losses = {name: torch.stack([r[1][name] for r in results]) for name in results[0][1]}
        return torch.stack([r[0] for r in results]), losses, None

    def _part(self, name: str, value: Any, i: int) -> Any:
        if name in ("outputs_class", "outputs_coord") and value is not None:
            return value.narrow(self._axis, i, 1)
        return value[i : i + 1] if isinstance(value, Tensor | list) else value


class BoxHead:
    """Losses and detections of a model of :data:`BOX_MODELS`."""

    def __init__(self, model: Any) -> None:
        self._model = model
        model.loss_function = PerImageLoss(model.loss_function, BOX_MODELS[type(model).__name__])
        segments = type(model).__name__.endswith("ForSegmentation")
        self.loss_names = ("box", "class", "mask") if segments else ("box", "class")

    def losses(self, pixels: Tensor, targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Return losses (B,), those of the decoder's earlier layers included where the model learns from them."""
        found = self._model(pixel_values=pixels, labels=list(targets)).loss_dict
        sums = {name: pixels.new_zeros(len(pixels)) for name in self.loss_names}
        for name, values in found.items():
            if name.startswith("cardinality_error"):
                continue  # a count, and no loss
            kind = name.split("_")[1]
            # In the models without these options the losses come weighted.
            weight = getattr(self._model.config, f"{kind}_loss_coefficient", 1.0)
            sums[_GROUPS[kind]] = sums[_GROUPS[kind]] + weight * values
        return sums

    def detect(self, pixels: Tensor, side: int) -> list[Detections]:
        """Decode the detections of the highest scores; boxes and masks in pixels of an image of this side."""
        output = self._model(pixel_values=pixels)
        scores, queries, labels = _top_detections(output.logits, self._model.config.num_labels)
        centres, sizes = (output.pred_boxes * side).split(2, -1)
        corners = torch.cat([centres - sizes / 2, centres + sizes / 2], -1)
        masks = getattr(output, "pred_masks", None)
        return [
            Detections(
                corners[i, queries[i]],
                scores[i],
                labels[i],
                None if masks is None else upsample(masks[i, queries[i]], side) > 0,
            )
            for i in range(len(pixels))
        ]


def _top_detections(logits: Tensor, classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the highest scores, their queries and labels, each (B, n), as in transformers' own post-processing."""
    if logits.shape[-1] == classes:  # a sigmoid for each class: a query may stand for several
        scores, best = logits.sigmoid().flatten(1).topk(min(MOST, logits[0].numel()))
        return scores, best // classes, best % classes
    scores, labels = logits.softmax(-1)[..., :-1].max(-1)  # a softmax whose last class is "no object"
    scores, best = scores.topk(min(MOST, scores.shape[1]))
    return scores, best, labels.gather(1, best)


def upsample(masks: Tensor, side: int) -> Tensor:
    """Return mask logits (n, h, w) at the size of the image, (n, side, side)."""
    return interpolate(masks[None], (side, side), mode="bilinear", align_corners=False)[0]
