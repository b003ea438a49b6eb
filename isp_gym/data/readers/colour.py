"""ProPhoto RGB, in which FiveK's experts saved their work, to sRGB."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

# ROMM RGB (ISO 22028-2), D50 -> CIE XYZ.
_PROPHOTO_TO_XYZ = np.array(
    [
        [0.7976749, 0.1351917, 0.0313534],
        [0.2880402, 0.7118741, 0.0000857],
        [0.0000000, 0.0000000, 0.8252100],
    ]
)
# Bradford adaptation of white, D50 -> D65 (Lindbloom).
_D50_TO_D65 = np.array(
    [
        [0.9555766, -0.0230393, 0.0631636],
        [-0.0282895, 1.0099416, 0.0210077],
        [0.0122982, -0.0204830, 1.3299098],
    ]
)
# CIE XYZ (D65) -> linear sRGB (IEC 61966-2-1).
_XYZ_TO_SRGB = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)
_TO_SRGB = _XYZ_TO_SRGB @ _D50_TO_D65 @ _PROPHOTO_TO_XYZ
_TOE = 16 * 1 / 512  # below it ROMM's transfer function is a straight line of slope 16


def prophoto_to_linear(encoded: FloatArray) -> FloatArray:
    """Undo the transfer function of ROMM RGB (gamma 1.8 with a linear toe); values in [0, 1], any shape."""
    return np.where(encoded < _TOE, encoded / 16, np.power(encoded, 1.8))


def linear_prophoto_to_srgb(linear: FloatArray) -> FloatArray:
    """Linear ProPhoto RGB, (..., 3) in [0, 1], to display-referred sRGB; colours outside sRGB are clipped."""
    rgb = np.clip(linear @ _TO_SRGB.T, 0.0, 1.0)
    return np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * np.maximum(rgb, 0.0031308) ** (1 / 2.4) - 0.055)
