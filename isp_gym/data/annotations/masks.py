"""COCO's two ways to say where an object is, polygons and run-length encodings, and what can be wrong with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

OVERHANG = 2.0
"""How far, in pixels, a box or polygon may reach over the image's edge: it is rounding, and is cut off."""


def check_segmentation(segmentation: Any, size: tuple[int, int]) -> None:
    """Check polygons or a run-length encoding.

    Args:
        segmentation: A list of polygons (x, y, x, y, ...) in pixels, or ``{"size": [H, W], "counts": ...}``.
        size: Width and height of the image.

    Raises:
        ValueError: Saying what is wrong, in words that follow "the mask".
    """
    try:
        if isinstance(segmentation, dict):
            run_lengths(segmentation, size)
        else:
            for polygon in segmentation:
                _check_polygon(polygon, size)
    except (TypeError, KeyError, IndexError):
        raise ValueError("is neither polygons nor a run-length encoding") from None


def _check_polygon(polygon: Sequence[float], size: tuple[int, int]) -> None:
    if len(polygon) < 6 or len(polygon) % 2:
        raise ValueError(f"has a polygon of {len(polygon)} numbers, not two each for at least 3 points")
    if not math.isfinite(sum(polygon)):
        raise ValueError("has a polygon with a point that is no number")
    for values, end in zip((polygon[0::2], polygon[1::2]), size, strict=True):
        if min(values) < -OVERHANG or max(values) > end + OVERHANG:
            raise ValueError(f"reaches outside the image of {size[0]} x {size[1]} pixels")


def run_lengths(encoding: dict[str, Any], size: tuple[int, int]) -> list[int]:
    """Return how many pixels are out, in, out, ..., column by column.

    pycocotools would read beyond the end of counts that do not fill the image.

    Raises:
        ValueError: They are for an image of another size, or do not fill it.
    """
    height, width = encoding["size"]
    if (width, height) != size:
        raise ValueError(f"is for {width} x {height} pixels, but the image has {size[0]} x {size[1]}")
    counts = encoding["counts"]
    lengths = counts if isinstance(counts, list) else _decompress(counts)
    if min(lengths, default=-1) < 0 or sum(lengths) != width * height:
        raise ValueError(f"has run lengths that do not fill its {width} x {height} pixels")
    return lengths


def _decompress(counts: str | bytes) -> list[int]:
    """COCO's compressed counts: numbers in groups of five bits, least first, each the change from the last but one."""
    lengths: list[int] = []
    value = shift = 0
    for code in counts.encode() if isinstance(counts, str) else counts:
        bits = code - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if not bits & 0x20:
            value -= (bits & 0x10) << (shift - 4)  # the highest bit is the sign
            lengths.append(value + (lengths[-2] if len(lengths) > 2 else 0))
            value = shift = 0
    return lengths


def decode_rle(encoding: dict[str, Any], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Decode a run-length encoding -> (H, W)."""
    lengths = run_lengths(encoding, size)
    inside = np.arange(len(lengths)) % 2 == 1
    return np.repeat(inside, lengths).reshape(size).T
