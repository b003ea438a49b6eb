"""Turn the embedded network's output into predictions."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from isp_gym.networks.base import Detections
from isp_gym.networks.embedded.loss import crop
from isp_gym.networks.embedded.model import MASK_STRIDE, Output

_MIN_SCORE = 0.01
_CANDIDATES = 300
_MAX_DETECTIONS = 100
_SAME_OBJECT = 0.6  # IoU from which on two boxes of one class are one object


@torch.no_grad()
def decode(output: Output, size: int) -> list[Detections]:
    """Decode the predictions in each of the B images, sorted by confidence.

    Args:
        output: Of the network.
        size: Side of the images that it saw, to which boxes are clipped and masks enlarged.
    """
    scores = output.objectness.sigmoid()[..., None] * output.classes.softmax(2)
    boxes = output.boxes.clamp(0, size)
    return [_decode_one(output, i, scores[i], boxes[i], size) for i in range(len(scores))]


def _decode_one(output: Output, i: int, scores: Tensor, boxes: Tensor, size: int) -> Detections:
    best, flat = scores.flatten().topk(min(_CANDIDATES, scores.numel()))
    flat, best = flat[best > _MIN_SCORE], best[best > _MIN_SCORE]
    point, label = flat // scores.shape[1], flat % scores.shape[1]
    kept = suppress(boxes[point], label)[:_MAX_DETECTIONS]
    point, label, best = point[kept], label[kept], best[kept]
    masks = torch.einsum("pm,mhw->phw", output.coefficients[i, point], output.prototypes[i]).sigmoid()
    masks = masks * crop(boxes[point] / MASK_STRIDE, masks.shape[-2:])
    if len(masks):
        masks = F.interpolate(masks[None], size=(size, size), mode="bilinear")[0]
    return Detections(boxes[point], best, label, masks.reshape(-1, size, size) > 0.5)


def suppress(boxes: Tensor, labels: Tensor) -> Tensor:
    """Select by non-maximum suppression which boxes, (n, 4) sorted by confidence, repeat none before of their class."""
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    low, high = torch.maximum(boxes[:, None, :2], boxes[:, :2]), torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = (high - low).clamp_min(0).prod(2)
    same = (shared > _SAME_OBJECT * (area[:, None] + area - shared)) & (labels[:, None] == labels)
    repeats = same.cpu().numpy()
    gone, kept = np.zeros(len(boxes), bool), []
    for i in range(len(boxes)):
        if not gone[i]:
            kept.append(i)
            gone |= repeats[i]
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device)
