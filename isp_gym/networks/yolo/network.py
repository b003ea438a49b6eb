"""ultralytics' YOLO detectors and segmenters as frozen networks. ultralytics is AGPL, hence an extra (``yolo``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from isp_gym.data import Objects
from isp_gym.errors import UserError
from isp_gym.networks.base import Detections, Network
from isp_gym.networks.yolo.weights import load_model

# ultralytics' losses are vectors: box, class, distribution; or box, mask, class, distribution, semantic (in training).
_DETECTION = {"box": [0, 2], "class": [1]}
_SEGMENTATION = {"box": [0, 3], "class": [2], "mask": [1]}


class YOLONetwork(Network):
    """A checkpoint of ultralytics: YOLOv3u, v5u, v8, 11 and the like, for boxes or for boxes and masks (``-seg``).

    Images are resized (bilinear) to the size that it was trained at, or where the file does not tell, to the next
    multiple of its largest stride. The losses are ultralytics' own for a batch of one, weighted as in its training (by
    default 7.5 for the box and 1.5 for the distribution of its sides, which are one here, 0.5 for the class, which also
    says whether there is an object, and 7.5 for the mask).

    Args:
        weights: The ``.pt`` file. Loading may run code that is in it: use only what you trust.
        device: Where it runs.

    Raises:
        UserError: ultralytics is not installed, the file is missing or no such checkpoint, or it is not trusted here.
    """

    def __init__(self, weights: str, device: str = "cpu") -> None:
        self._model, self._trained_at = load_model(weights)
        self._model.to(device).requires_grad_(False)
        self._model.args = SimpleNamespace(**{**self._model.args, "overlap_mask": False})  # masks come one by one
        self.classes = tuple(self._model.names.values())
        self._columns = _SEGMENTATION if self._model.task == "segment" else _DETECTION
        self.loss_names = tuple(self._columns)
        self._head = "one2one" if self._model.end2end else "one2many"  # of those that have two
        criterion = self._model.init_criterion()
        self._criterion = getattr(criterion, self._head, criterion)

    def losses(self, images: Tensor, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See :meth:`Network.losses`.

        Raises:
            UserError: It has a mask loss, and there are objects without masks.
        """
        raw = self._model(self._fitted(images))[1]
        raw = raw.get(self._head, raw)
        sizes = images.shape[-1], raw["proto"].shape[-1] if "mask" in self.loss_names else None
        batches = [_targets(each, images.device, *sizes) for each in objects]
        parts = torch.stack([self._criterion(_only(raw, i), batch)[0] for i, batch in enumerate(batches)])
        return {name: parts[:, columns].sum(1) for name, columns in self._columns.items()}

    @torch.no_grad()  # not inference mode: the head keeps its anchors, and the losses need them
    def detect(self, images: Tensor) -> list[Detections]:
        """See :meth:`Network.detect`. Suppression is as in ultralytics' validation, with COCO's limit of 100."""
        from ultralytics.utils.nms import non_max_suppression

        fitted = self._fitted(images)
        found, prototypes = self._model(fitted)[0], [None] * len(images)
        if "mask" in self.loss_names:
            found, prototypes = found
        rows = non_max_suppression(
            found,
            conf_thres=0.001,
            iou_thres=0.7,
            multi_label=True,
            max_det=100,
            nc=len(self.classes),
            end2end=self._model.end2end,
            max_time_img=math.inf,  # by default a slow machine leaves images out
        )
        size, scale = images.shape[-1], images.shape[-1] / fitted.shape[-1]
        return [_detections(row, prototype, size, scale) for row, prototype in zip(rows, prototypes, strict=True)]

    def _fitted(self, images: Tensor) -> Tensor:
        size, stride = images.shape[-1], int(self._model.stride.max())
        side = math.ceil((self._trained_at or size) / stride) * stride
        return images if side == size else F.interpolate(images, (side, side), mode="bilinear", align_corners=False)


def _only(raw: Any, i: int) -> Any:
    """Return what the head said of image i, as of a batch of one."""
    if isinstance(raw, dict):
        return {key: _only(value, i) for key, value in raw.items()}
    return raw[i : i + 1] if isinstance(raw, Tensor) else [_only(value, i) for value in raw]


def _targets(objects: Objects, device: torch.device, size: int, mask_size: int | None) -> dict[str, Tensor]:
    """The batch of one that ultralytics' losses want: boxes as fractions of the image's size, centre, width, height."""
    boxes = objects.boxes.to(device) / size
    batch = {
        "batch_idx": torch.zeros(len(objects), device=device),
        "cls": objects.labels.to(device, torch.float32),
        "bboxes": torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], dim=1),
    }
    if mask_size is not None:
        batch["masks"] = _masks(objects, device, mask_size)
    return batch


def _masks(objects: Objects, device: torch.device, size: int) -> Tensor:
    """(n, size, size) of 0 and 1, as large as the prototypes, which the loss would enlarge otherwise."""
    if not len(objects):
        return torch.zeros(0, size, size, device=device)
    if objects.masks is None:
        raise UserError("this YOLO network has a mask loss, and the data has no masks; use a detector without masks")
    masks = objects.masks.to(device, torch.float32)
    return (F.interpolate(masks[None], (size, size), mode="area")[0] >= 0.5).float()


def _detections(rows: Tensor, prototypes: Tensor | None, size: int, scale: float) -> Detections:
    """Rows of box, score, class and coefficients of the prototypes, (n, 6 + M) -> in pixels of the image shown."""
    boxes = (rows[:, :4] * scale).clamp(0, size)
    masks = None
    if prototypes is not None:
        from ultralytics.utils.ops import process_mask_native

        masks = process_mask_native(prototypes, rows[:, 6:], boxes, (size, size)).bool()
    return Detections(boxes, rows[:, 4], rows[:, 5].long(), masks)
