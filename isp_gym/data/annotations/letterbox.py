"""Fitting an image of any shape into a square without changing its aspect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from isp_gym.data.annotations.masks import decode_rle

Box = tuple[float, float, float, float]


class Letterbox:
    """The longer side fills the square, the image stands in the middle, and the rest is black.

    Args:
        size: Width and height of the image.
        side: S, of the square, in pixels.
    """

    def __init__(self, size: tuple[int, int], side: int) -> None:
        self.side, self.size = side, size
        scale = side / max(size)
        self.inner = tuple(max(1, round(n * scale)) for n in size)
        self.left, self.top = ((side - n) // 2 for n in self.inner)
        self.scale = (self.inner[0] / size[0], self.inner[1] / size[1])

    def inside(self) -> npt.NDArray[np.bool_]:
        """Mark where the image is: (S, S), true inside."""
        mask = np.zeros((self.side, self.side), bool)
        mask[self.top : self.top + self.inner[1], self.left : self.left + self.inner[0]] = True
        return mask

    def image(self, pixels: npt.NDArray) -> npt.NDArray[np.float32]:
        """Fit (H, W, 3) of 8 or 16-bit integers: -> (S, S, 3) float32 in [0, 1], resized with anti-aliasing."""
        values = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
        shrink = cv2.INTER_AREA if self.inner[0] <= self.size[0] else cv2.INTER_LINEAR
        square = np.zeros((self.side, self.side, 3), np.float32)
        square[self.inside()] = cv2.resize(values, self.inner, interpolation=shrink).reshape(-1, 3)
        return np.clip(square, 0.0, 1.0)

    def box(self, box: Box) -> Box:
        """Move x1, y1, x2, y2 in pixels of the image -> of the square."""
        (x, y), (x1, y1, x2, y2) = self.scale, box
        return x1 * x + self.left, y1 * y + self.top, x2 * x + self.left, y2 * y + self.top

    def mask(self, segmentation: Any) -> npt.NDArray[np.bool_]:
        """Rasterise COCO's polygons or run-length encoding -> (S, S)."""
        if isinstance(segmentation, dict):
            whole = np.zeros((self.side, self.side), bool)
            pixels = decode_rle(segmentation, self.size).astype(np.float32)
            inner = cv2.resize(pixels, self.inner, interpolation=cv2.INTER_AREA)
            whole[self.inside()] = (inner >= 0.5).ravel()
            return whole
        return self._polygons(segmentation)

    def _polygons(self, polygons: Sequence[Sequence[float]]) -> npt.NDArray[np.bool_]:
        """Drawn as COCO draws them, where pixels count that lie inside and not those that an edge touches."""
        points = [np.array(polygon, dtype=np.float64).reshape(-1, 2) for polygon in polygons]
        moved = [(p * self.scale + (self.left, self.top)).ravel().tolist() for p in points]
        encoding = coco_mask.merge(coco_mask.frPyObjects(moved, self.side, self.side))
        return decode_rle(encoding, (self.side, self.side)) & self.inside()
