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
_MAX_DETECTIONS = 100  # detections of a class in an image that count
_IOU_50, _IOU_75 = 0, 5  # where those are among COCO's ten

#: What COCOeval says of one image, by label.
_Matches = dict[int, dict[str, Any]]


class AveragePrecision:
    """Compute mean average precision over images that are shown chunk by chunk; each is matched at once, and not kept.

    Args:
        kind: ``"box"`` or ``"mask"``: whose overlap counts.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._matches: list[_Matches] = []

    def update(self, ground_truth: Sequence[Objects], predictions: Sequence[Detections]) -> dict[str, Tensor]:
        """Take in some images.

        Args:
            ground_truth: The annotations of each image, crowd regions included; all of the same classes.
            predictions: What was predicted there; labels as those of ``ground_truth``.

        Returns:
            As :meth:`compute`, for each image by itself: (B,) float64, NaN where there is no ground-truth object.
        """
        matches = _match(ground_truth, predictions, self._kind)
        self._matches += matches
        scores = [self._scores([one]) for one in matches]
        return {name: torch.tensor([row[name] for row in scores], dtype=torch.float64) for name in scores[0]}

    def compute(self) -> dict[str, float]:
        """Compute ``box_map`` (the mean over IoU .5 to .95), ``box_map50`` and ``box_map75``, or the same of masks.

        In [0, 1]. As in COCO, classes of which no object was shown are left out; NaN if that are all.
        """
        return self._scores(self._matches)

    def _scores(self, matches: Sequence[_Matches]) -> dict[str, float]:
        precision = _precision(matches, self._kind)
        parts = {"map": precision, "map50": precision[_IOU_50], "map75": precision[_IOU_75]}
        return {f"{self._kind}_{name}": float(part.mean()) for name, part in parts.items()}


def _match(ground_truth: Sequence[Objects], predictions: Sequence[Detections], kind: str) -> list[_Matches]:
    """Match predictions to ground truth, image by image."""
    matches: list[_Matches] = [{} for _ in ground_truth]
    there = [row for i, one in enumerate(ground_truth) for row in _rows(i, one, kind, iscrowd=one.crowd)]
    seen = [row for i, one in enumerate(predictions) for row in _rows(i, one, kind, score=one.scores)]
    labels = sorted({row["category_id"] for row in (*there, *seen)})
    if not labels:
        return matches
    with quiet_output():
        count = len(ground_truth)
        evaluator = COCOeval(_coco(there, labels, count), _coco(seen, labels, count), _TYPES[kind])
        evaluator.params = _params(labels, count, kind)
        evaluator.evaluate()
    for one in evaluator.evalImgs:
        if one is not None:
            matches[one["image_id"]][int(one["category_id"])] = one
    return matches


def _precision(matches: Sequence[_Matches], kind: str) -> np.ndarray:
    """Return precision at each IoU, recall and class of which there is an object: (10, 101, K), or NaN."""
    labels = sorted({label for image in matches for label, one in image.items() if (one["gtIgnore"] == 0).any()})
    if not labels:
        return np.full((10, 101, 1), np.nan)
    evaluator = COCOeval(iouType=_TYPES[kind])
    # Every image has been evaluated by itself; this is how COCOeval keeps that.
    evaluator.params = evaluator._paramsEval = _params(labels, len(matches), kind)
    evaluator.evalImgs = [image.get(label) for label in labels for image in matches]
    with quiet_output():
        evaluator.accumulate()
    return evaluator.eval["precision"][..., 0, 0]


def _params(labels: Sequence[int], images: int, kind: str) -> Params:
    """Make COCO's parameters, but for objects of any size only."""
    params = Params(_TYPES[kind])
    params.catIds, params.imgIds, params.maxDets = list(labels), list(range(images)), [_MAX_DETECTIONS]
    params.areaRng, params.areaRngLbl = params.areaRng[:1], params.areaRngLbl[:1]
    return params


def _rows(image: int, items: Objects | Detections, kind: str, **columns: Tensor) -> list[dict[str, Any]]:
    """Turn objects or detections of an image into COCO's annotations."""
    shapes = _boxes(items.boxes) if kind == "box" else _masks(items.masks)
    lists = {name: values.tolist() for name, values in columns.items()}
    return [
        {"image_id": image, "category_id": label, "iscrowd": 0, **shape, **{name: lists[name][i] for name in lists}}
        for i, (label, shape) in enumerate(zip(items.labels.tolist(), shapes, strict=True))
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
