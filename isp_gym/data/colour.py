"""Colour matrices and transfer curves: sRGB, ProPhoto RGB, CIE XYZ and the cameras that unprocessing simulates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch import Tensor

FloatArray = npt.NDArray[np.floating]

# Linear sRGB -> CIE XYZ (D65), and back: IEC 61966-2-1, each rounded as it is published.
SRGB_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
XYZ_TO_SRGB = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)
# ROMM RGB (ProPhoto, ISO 22028-2), D50 -> CIE XYZ.
PROPHOTO_TO_XYZ = np.array(
    [
        [0.7976749, 0.1351917, 0.0313534],
        [0.2880402, 0.7118741, 0.0000857],
        [0.0000000, 0.0000000, 0.8252100],
    ]
)
# Bradford adaptation of white, D50 -> D65 (Lindbloom).
D50_TO_D65 = np.array(
    [
        [0.9555766, -0.0230393, 0.0631636],
        [-0.0282895, 1.0099416, 0.0210077],
        [0.0122982, -0.0204830, 1.3299098],
    ]
)
# CIE XYZ -> camera RGB of the Darmstadt Noise Dataset's four cameras (Brooks et al., CVPR 2019, section 3.3).
XYZ_TO_CAMERA = np.array(
    [
        [[1.0234, -0.2969, -0.2266], [-0.5625, 1.6328, -0.0469], [-0.0703, 0.2188, 0.6406]],
        [[0.4913, -0.0541, -0.0202], [-0.6130, 1.3513, 0.2906], [-0.1564, 0.2151, 0.7183]],
        [[0.8380, -0.2630, -0.0639], [-0.2887, 1.0725, 0.2496], [-0.0627, 0.1427, 0.5438]],
        [[0.6596, -0.2079, -0.0562], [-0.4782, 1.3016, 0.1933], [-0.0970, 0.1581, 0.5181]],
    ]
)

_PROPHOTO_TO_SRGB = XYZ_TO_SRGB @ D50_TO_D65 @ PROPHOTO_TO_XYZ
_PROPHOTO_TOE = 16 * 1 / 512  # below it ROMM's transfer function is a straight line of slope 16
_SRGB_TOE = 0.0031308  # below it that of sRGB is one of slope 12.92


def srgb_gamma(linear: Tensor) -> Tensor:
    """Apply the sRGB transfer function (IEC 61966-2-1) to linear values in [0, 1], any shape."""
    return (12.92 * linear).where(linear <= _SRGB_TOE, 1.055 * linear.clamp_min(_SRGB_TOE) ** (1 / 2.4) - 0.055)


def prophoto_to_linear(encoded: FloatArray) -> FloatArray:
    """Undo the transfer function of ROMM RGB (gamma 1.8 with a linear toe); values in [0, 1], any shape.

    Example:
        >>> prophoto_to_linear(np.array([0.0, 0.016, 1.0]))
        array([0.   , 0.001, 1.   ])
    """
    return np.where(encoded < _PROPHOTO_TOE, encoded / 16, np.power(encoded, 1.8))


def linear_prophoto_to_srgb(linear: FloatArray) -> FloatArray:
    """Convert linear ProPhoto RGB, (..., 3) in [0, 1], to display-referred sRGB; colours outside sRGB are clipped."""
    rgb = np.clip(linear @ _PROPHOTO_TO_SRGB.T, 0.0, 1.0)
    return np.where(rgb <= _SRGB_TOE, 12.92 * rgb, 1.055 * np.maximum(rgb, _SRGB_TOE) ** (1 / 2.4) - 0.055)
