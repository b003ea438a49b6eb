"""Draw images for people, with predictions or with ground truth."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch import Tensor

from isp_gym.data import Objects
from isp_gym.networks import Detections

MIN_SCORE = 0.3
"""Predictions of a lower score are not shown."""

_MIN_SIDE = 256  # smallest side of a picture, so that names can be read
_COLOURS = ((86, 180, 233), (230, 159, 0), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0), (0, 114, 178))
_FONT, _SIZE = cv2.FONT_HERSHEY_SIMPLEX, 0.36
_LINE = 12  # height of a name


def draw_detections(image: Tensor, predictions: Detections, classes: Sequence[str]) -> Tensor:
    """Draw predictions into an image, with scores; arguments and return value as for :func:`draw_objects`.

    Args:
        image: (3, S, S).
        predictions: Of that image; those of a score below ``MIN_SCORE`` are left out.
        classes: Names of its labels.
    """
    shown = predictions.scores >= MIN_SCORE
    labels, scores = predictions.labels[shown].tolist(), predictions.scores[shown].tolist()
    names = [f"{classes[label]} {score:.2f}" for label, score in zip(labels, scores, strict=True)]
    masks = None if predictions.masks is None else predictions.masks[shown]
    return _draw(image, predictions.boxes[shown], labels, names, masks)


def draw_objects(image: Tensor, objects: Objects) -> Tensor:
    """Draw the ground-truth objects of an image.

    Args:
        image: (3, S, S), shown clipped to [0, 1].
        objects: Its annotations.

    Returns:
        (3, T, T) on the CPU, enlarged by a whole factor to at least 256 pixels.
    """
    labels, crowds = objects.labels.tolist(), objects.crowd.tolist()
    names = ["crowd: " * crowd + objects.classes[label] for label, crowd in zip(labels, crowds, strict=True)]
    return _draw(image, objects.boxes, labels, names, objects.masks)


def _draw(image: Tensor, boxes: Tensor, labels: Sequence[int], names: Sequence[str], masks: Tensor | None) -> Tensor:
    factor = -(-_MIN_SIDE // image.shape[-1])
    canvas = _enlarge(image.detach().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0), factor)
    colours = [_COLOURS[label % len(_COLOURS)] for label in labels]
    # The one of the highest score is drawn last, over the others.
    if masks is not None:
        for mask, colour in reversed(list(zip(masks, colours, strict=True))):
            inside = _enlarge(mask, factor)
            canvas[inside] = canvas[inside] // 2 + np.array(colour, np.uint8) // 2
    rows = list(zip((boxes * factor).round().int().tolist(), names, colours, strict=True))[::-1]
    for box, _, colour in rows:
        cv2.rectangle(canvas, box[:2], box[2:], colour, 2)
    for box, name, colour in rows:
        _write(canvas, name, box[0], box[1], colour)
    return torch.from_numpy(canvas).permute(2, 0, 1).float() / 255


def _enlarge(pixels: Tensor, factor: int) -> np.ndarray:
    return np.ascontiguousarray(pixels.cpu().numpy().repeat(factor, axis=0).repeat(factor, axis=1))


def _write(canvas: np.ndarray, name: str, left: int, top: int, colour: tuple[int, int, int]) -> None:
    """Write a name, dark on a ground of the colour, above its box or, where there is no place, inside it."""
    width = cv2.getTextSize(name, _FONT, _SIZE, 1)[0][0] + 4
    left = max(0, min(left - 1, canvas.shape[1] - width))
    top = top - _LINE if top >= _LINE else top
    cv2.rectangle(canvas, (left, top), (left + width, top + _LINE), colour, cv2.FILLED)
    cv2.putText(canvas, name, (left + 2, top + _LINE - 3), _FONT, _SIZE, (0, 0, 0), 1, cv2.LINE_AA)
