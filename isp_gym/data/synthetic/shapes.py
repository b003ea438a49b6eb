"""The shapes of the synthetic scenes. Each is a test whether points lie inside, in its own coordinates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Grid = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]
Shape = Callable[[Grid, Grid, float], Mask]


def _ball(u: Grid, v: Grid, variant: float) -> Mask:
    return u * u + v * v < 1


def _box(u: Grid, v: Grid, variant: float) -> Mask:
    slope = np.pi * (0.17 + 0.16 * variant)  # of the diagonal: from twice as wide as high to nearly twice as high
    return (np.abs(u) < np.cos(slope)) & (np.abs(v) < np.sin(slope))


def _cone(u: Grid, v: Grid, variant: float) -> Mask:
    half_width = 0.5 + 0.3 * variant
    bottom = np.sqrt(1 - half_width**2)
    return (v < bottom) & (np.abs(u) < half_width * (v + 1) / (1 + bottom))


def _star(u: Grid, v: Grid, variant: float) -> Mask:
    inner = 0.4 + 0.12 * variant
    sector = 2 * np.pi / 5
    angle = np.arctan2(u, -v) % sector
    angle = np.minimum(angle, sector - angle)  # each tip is its own mirror image
    x, y = np.hypot(u, v) * np.cos(angle), np.hypot(u, v) * np.sin(angle)
    corner_x, corner_y = inner * np.cos(sector / 2), inner * np.sin(sector / 2)
    return (1 - x) * corner_y > y * (1 - corner_x)


def _ring(u: Grid, v: Grid, variant: float) -> Mask:
    squared = u * u + v * v
    return (squared < 1) & (squared > (0.5 + 0.15 * variant) ** 2)


def _cross(u: Grid, v: Grid, variant: float) -> Mask:
    half_width = 0.24 + 0.1 * variant
    length = np.sqrt(1 - half_width**2)
    u, v = np.abs(u), np.abs(v)
    return ((u < half_width) & (v < length)) | ((v < half_width) & (u < length))


def rod(u: Grid, v: Grid, variant: float) -> Mask:
    """Shape clutter that is no object: long and thin."""
    return (np.abs(u) < 1) & (np.abs(v) < 0.02 + 0.05 * variant)


def pebble(u: Grid, v: Grid, variant: float) -> Mask:
    """Shape clutter that is no object: a small ellipse."""
    return u * u + (v * (1.8 + variant)) ** 2 < 1


SHAPES: dict[str, Shape] = {"ball": _ball, "box": _box, "cone": _cone, "star": _star, "ring": _ring, "cross": _cross}
"""Shapes that are objects, by class name.

Called with coordinates u (right) and v (down) in which the shape just fits into the unit circle, arrays alike, and
a number in [0, 1] that picks one of the class's variants.
"""
