"""The embedded network's losses, each image's by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from isp_gym.data import Objects
from isp_gym.networks.embedded.model import MASK_STRIDE, STRIDE, Output

LOSSES = ("box", "objectness", "class", "mask")
_RADIUS = 1.0 * STRIDE  # points within this of an object's centre, along each axis, answer for it


class Positives(NamedTuple):
    """The P points that answer for an object: their image, place in the grid, and object, (P,) int64 each."""

    image: Tensor
    point: Tensor
    object: Tensor


def embedded_losses(output: Output, objects: Sequence[Objects]) -> dict[str, Tensor]:
    """Return losses of each image.

    Args:
        output: Of the network, for B images.
        objects: What is in them, in the same pixels.

    Returns:
        - ``box``: ``1 - GIoU`` (Rezatofighi et al. 2019), the mean over the points that answer for an object;
        - ``objectness``: focal loss (Li et al. 2020, Eq. 4) whose target is the IoU reached, over their number;
        - ``class``: cross-entropy, their mean;
        - ``mask``: binary cross-entropy and Dice inside the box, their mean; not if an image lacks masks.

        Each (B,); an image without objects has only objectness.
    """
    device = output.objectness.device
    boxes, valid = _pad([o.boxes.to(device) for o in objects])
    labels, _ = _pad([o.labels.to(device) for o in objects])
    chosen = assign(output.points, boxes, valid)
    true = boxes[chosen.image, chosen.object]
    found = output.boxes[chosen.image, chosen.point]
    iou, giou = overlaps(found, true)
    per_class = F.cross_entropy(
        output.classes[chosen.image, chosen.point], labels[chosen.image, chosen.object], reduction="none"
    )
    losses = {
        "box": _mean(1 - giou, chosen.image, len(objects)),
        "objectness": _objectness(output.objectness, iou.detach().clamp(0, 1), chosen),
        "class": _mean(per_class, chosen.image, len(objects)),
    }
    if all(o.masks is not None for o in objects):
        masks = _shrink([o.masks.to(device) for o in objects], output)  # type: ignore[union-attr]
        losses["mask"] = _mean(_mask_losses(output, masks, true, chosen), chosen.image, len(objects))
    return losses


def assign(points: Tensor, boxes: Tensor, valid: Tensor) -> Positives:
    """Assign the positive locations, near an object's centre; where several objects claim one, the smallest has it.

    Args:
        points: (N, 2).
        boxes: (B, M, 4).
        valid: Which of them are there, (B, M) bool.
    """
    if not boxes.shape[1]:
        none = torch.zeros(0, dtype=torch.int64, device=points.device)
        return Positives(none, none, none)
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    near = (points[None, :, None] - centres[:, None]).abs().amax(3) <= _RADIUS
    areas = (boxes[..., 2:] - boxes[..., :2]).prod(2)
    area = areas[:, None].expand(-1, len(points), -1).masked_fill(~(near & valid[:, None]), torch.inf)
    smallest, owner = area.min(2)
    image, point = smallest.isfinite().nonzero(as_tuple=True)
    return Positives(image, point, owner[image, point])


def overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and generalised IoU of boxes, (P, 4) each -> (P,) each."""
    area_a, area_b = ((box[:, 2:] - box[:, :2]).clamp_min(0).prod(1) for box in (a, b))
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp_min(0).prod(1)
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    union = area_a + area_b - shared
    iou = shared / union.clamp_min(1e-6)
    return iou, iou - (hull - union) / hull.clamp_min(1e-6)


def _objectness(logits: Tensor, quality: Tensor, chosen: Positives) -> Tensor:
    target = torch.zeros_like(logits).index_put((chosen.image, chosen.point), quality)
    distance = (logits.sigmoid() - target).square()
    loss = distance * F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    count = torch.bincount(chosen.image, minlength=len(logits)).clamp_min(1)
    return loss.sum(1) / count


def _mask_losses(output: Output, masks: Tensor, boxes: Tensor, chosen: Positives) -> Tensor:
    """(P,), for masks (B, M, H, W) at the prototypes' size and the objects' boxes (P, 4) in pixels of the image."""
    true = masks[chosen.image, chosen.object]
    weights = output.coefficients[chosen.image, chosen.point]
    logits = torch.einsum("pm,pmhw->phw", weights, output.prototypes[chosen.image])
    inside = crop(boxes / MASK_STRIDE, logits.shape[-2:])
    pixels = inside.sum((1, 2)).clamp_min(1)
    cross = F.binary_cross_entropy_with_logits(logits, true, reduction="none")
    found = logits.sigmoid() * inside
    dice = 1 - (2 * (found * true).sum((1, 2)) + 1) / ((found + true * inside).sum((1, 2)) + 1)
    return (cross * inside).sum((1, 2)) / pixels + dice


def crop(boxes: Tensor, size: Sequence[int]) -> Tensor:
    """Return pixels that a box touches, (P, 4) -> (P, H, W) float."""
    y, x = (torch.arange(n, device=boxes.device) for n in size)
    x1, y1, x2, y2 = boxes[:, :, None].unbind(1)
    columns, rows = (x + 1 > x1) & (x < x2), (y + 1 > y1) & (y < y2)
    return (rows[:, :, None] & columns[:, None, :]).float()


def _shrink(masks: Sequence[Tensor], output: Output) -> Tensor:
    """Return masks at the prototypes' size, as the part of each pixel that is covered, (B, M, H, W)."""
    padded, _ = _pad([m.flatten(1).float() for m in masks])
    shape = (*padded.shape[:2], *masks[0].shape[-2:])
    return F.interpolate(padded.reshape(shape), size=output.prototypes.shape[-2:], mode="area")


def _pad(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Return rows of different lengths as one tensor, and where in it something stands, (B, M) bool."""
    padded = torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)
    lengths = torch.tensor([len(row) for row in rows], device=padded.device)
    return padded, torch.arange(padded.shape[1], device=padded.device) < lengths[:, None]


def _mean(values: Tensor, image: Tensor, count: int) -> Tensor:
    """Return mean of the values of each image, (P,) -> (count,); 0 where there are none."""
    total = values.new_zeros(count).index_add(0, image, values)
    return total / torch.bincount(image, minlength=count).clamp_min(1)
