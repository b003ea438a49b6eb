"""COCO's mean average precision, by pycocotools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval, Params
from torch import Tensor

from isp_gym.data import Objects
from isp_gym.data.readers.quiet import quiet_output
from isp_gym.networks import Detections

_TYPES = {"box": "bbox", "mask": "segm"}
_MOST = 100  # detections of a class in an image that count
_IOU_50, _IOU_75 = 0, 5  # where those are among COCO's ten

#: What COCOeval says of one image, by label.
_Verdict = dict[int, dict[str, Any]]


class AveragePrecision:
    """Mean average precision over images that are shown part by part; what is shown is matched at once, and not kept.

    Args:
        kind: ``"box"`` or ``"mask"``: whose overlap counts.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._verdicts: list[_Verdict] = []

    def update(self, truths: Sequence[Objects], found: Sequence[Detections]) -> dict[str, Tensor]:
        """Show some images.

        Args:
            truths: What is in each image, crowds included; all of the same classes.
            found: What was found there; labels as those of ``truths``.

        Returns:
            As :meth:`result`, for each image by itself: (B,) float64, NaN where there is nothing to be found.
        """
        verdicts = _judge(truths, found, self._kind)
        self._verdicts += verdicts
        scores = [self._scores([verdict]) for verdict in verdicts]
        return {name: torch.tensor([row[name] for row in scores], dtype=torch.float64) for name in scores[0]}

    def compute(self) -> dict[str, float]:
        """``box_map`` (the mean over IoU .5 to .95), ``box_map50`` and ``box_map75``, or the same of masks.

        In [0, 1]. As in COCO, classes of which no object was shown are left out; NaN if that are all.
        """
        return self._scores(self._verdicts)

    def _scores(self, verdicts: Sequence[_Verdict]) -> dict[str, float]:
        precision = _precision(verdicts, self._kind)
        parts = {"map": precision, "map50": precision[_IOU_50], "map75": precision[_IOU_75]}
        return {f"{self._kind}_{name}": float(part.mean()) for name, part in parts.items()}


def _judge(truths: Sequence[Objects], found: Sequence[Detections], kind: str) -> list[_Verdict]:
    """Match what was found to what is there, image by image."""
    verdicts: list[_Verdict] = [{} for _ in truths]
    there = [row for i, one in enumerate(truths) for row in _rows(i, one, kind, iscrowd=one.crowd)]
    seen = [row for i, one in enumerate(found) for row in _rows(i, one, kind, score=one.scores)]
    labels = sorted({row["category_id"] for row in (*there, *seen)})
    if not labels:
        return verdicts
    with quiet_output():
        evaluator = COCOeval(_coco(there, labels, len(truths)), _coco(seen, labels, len(truths)), _TYPES[kind])
        evaluator.params = _params(labels, len(truths), kind)
        evaluator.evaluate()
    for verdict in evaluator.evalImgs:
        if verdict is not None:
            verdicts[verdict["image_id"]][int(verdict["category_id"])] = verdict
    return verdicts


def _precision(verdicts: Sequence[_Verdict], kind: str) -> np.ndarray:
    """Precision at each IoU, recall and class of which there is an object: (10, 101, K), or NaN."""
    labels = sorted({label for image in verdicts for label, one in image.items() if (one["gtIgnore"] == 0).any()})
    if not labels:
        return np.full((10, 101, 1), np.nan)
    evaluator = COCOeval(iouType=_TYPES[kind])
    # Every image has been evaluated by itself; this is how COCOeval keeps that.
    evaluator.params = evaluator._paramsEval = _params(labels, len(verdicts), kind)
    evaluator.evalImgs = [image.get(label) for label in labels for image in verdicts]
    with quiet_output():
        evaluator.accumulate()
    return evaluator.eval["precision"][..., 0, 0]


def _params(labels: Sequence[int], images: int, kind: str) -> Params:
    """COCO's, but for objects of any size only."""
    params = Params(_TYPES[kind])
    params.catIds, params.imgIds, params.maxDets = list(labels), list(range(images)), [_MOST]
    params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
    return params


def _rows(image: int, things: Objects | Detections, kind: str, **columns: Tensor) -> list[dict[str, Any]]:
    """Objects or detections of an image as COCO's annotations."""
    shapes = _boxes(things.boxes) if kind == "box" else _masks(things.masks)
    lists = {name: values.tolist() for name, values in columns.items()}
    return [
        {"image_id": image, "category_id": label, "iscrowd": 0, **shape, **{name: lists[name][i] for name in lists}}
        for i, (label, shape) in enumerate(zip(things.labels.tolist(), shapes, strict=True))
    ]


def _boxes(boxes: Tensor) -> list[dict[str, Any]]:
    corners = boxes.detach().cpu().double()
    sizes = corners[:, 2:] - corners[:, :2]
    rows = torch.cat([corners[:, :2], sizes], 1).tolist()
    return [{"bbox": box, "area": area} for box, area in zip(rows, sizes.prod(1).tolist(), strict=True)]


def _masks(masks: Tensor | None) -> list[dict[str, Any]]:
    assert masks is not None  # tasks that need them have asked for them
    if not len(masks):
        return []
    codes = rle.encode(np.asfortranarray(masks.permute(1, 2, 0).cpu().numpy().astype(np.uint8)))
    return [{"segmentation": code, "area": float(rle.area(code))} for code in codes]


def _coco(rows: Sequence[dict[str, Any]], labels: Sequence[int], images: int) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": i, "height": 0, "width": 0} for i in range(images)],  # the sizes are in the masks
        "categories": [{"id": label} for label in labels],
        "annotations": [{"id": number, **row} for number, row in enumerate(rows, start=1)],  # 0 would mean "unmatched"
    }
    coco.createIndex()
    return coco
