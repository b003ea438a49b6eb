"""Surfaces of the synthetic scenes: two colours, a pattern that mixes them, and irregularities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Grid = npt.NDArray[np.floating]
_LATTICE = 32


def _plain(u: Grid, v: Grid) -> Grid:
    return np.zeros_like(u)


def _stripes(u: Grid, v: Grid) -> Grid:
    return (np.sin(np.pi * u) > 0).astype(np.float32)


def _waves(u: Grid, v: Grid) -> Grid:
    return 0.5 + 0.5 * np.sin(np.pi * u + np.sin(v))


def _checks(u: Grid, v: Grid) -> Grid:
    return (np.sin(np.pi * u) * np.sin(np.pi * v) > 0).astype(np.float32)


def _dots(u: Grid, v: Grid) -> Grid:
    return ((u % 2 - 1) ** 2 + (v % 2 - 1) ** 2 < 0.4).astype(np.float32)


_PATTERNS: tuple[Callable[[Grid, Grid], Grid], ...] = (_plain, _stripes, _waves, _checks, _dots)


@dataclass(frozen=True)
class Texture:
    """A surface.

    Attributes:
        colours: Two sRGB colours, (2, 3).
        pattern: Mixes them.
        frequency: Of the pattern, half periods in a unit of length.
        angle: Of the pattern, radians.
        grain: Strength of the irregularities.
        lattice: Random numbers that they are made of, (32, 32).
    """

    colours: Grid
    pattern: Callable[[Grid, Grid], Grid]
    frequency: float
    angle: float
    grain: float
    lattice: Grid

    @classmethod
    def draw(cls, rng: np.random.Generator, saturation: tuple[float, float], frequency: tuple[float, float]) -> Texture:
        """Sample one; ``saturation`` and ``frequency`` are ranges."""
        hsv = np.stack([rng.uniform(0, 360, 2), rng.uniform(*saturation, 2), rng.uniform(0.3, 0.95, 2)], 1)
        colours = cv2.cvtColor(hsv[None].astype(np.float32), cv2.COLOR_HSV2RGB)[0]
        # Two shades of one surface more often than two unrelated colours.
        colours[1] = colours[0] + (colours[1] - colours[0]) * rng.uniform(0.2, 0.8)
        return cls(
            colours,
            _PATTERNS[rng.integers(len(_PATTERNS))],
            float(np.exp(rng.uniform(*np.log(frequency)))),
            float(rng.uniform(0, np.pi)),
            float(rng.uniform(0.03, 0.2)),
            rng.uniform(-1, 1, (_LATTICE, _LATTICE)).astype(np.float32),
        )

    def paint(self, u: Grid, v: Grid) -> Grid:
        """Return the colours at the given coordinates, (H, W) each -> (H, W, 3)."""
        cos, sin = np.float32(np.cos(self.angle)), np.float32(np.sin(self.angle))
        s, t = (u * cos + v * sin) * self.frequency, (v * cos - u * sin) * self.frequency
        mix = self.pattern(s, t)[..., None]
        octaves = [self._noise(u, v, 2.0**octave) / 1.5**octave for octave in (1, 3, 4)]
        rough = 1 + self.grain * np.sum(octaves, axis=0)
        return (self.colours[0] * (1 - mix) + self.colours[1] * mix) * rough[..., None]

    def _noise(self, u: Grid, v: Grid, frequency: float) -> Grid:
        """Return smooth noise in [-1, 1]: the lattice, repeated, between whose points is interpolated."""
        x, y = (u * frequency) % (_LATTICE - 1), (v * frequency) % (_LATTICE - 1)
        noise: Grid = cv2.remap(self.lattice, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)  # type: ignore[assignment]
        return noise
