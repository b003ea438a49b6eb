"""Unprocessing: turn a finished photograph back into linear, low-light camera RAW-RGB.

The recipe is that of Brooks, Mildenhall, Xue, Chen, Sharlet and Barron, "Unprocessing Images for Learned Raw
Denoising", CVPR 2019: invert the steps of a camera pipeline in reverse order, each with randomly sampled numbers,
then add shot and read noise. Two things differ: the light is lowered by a sampled factor before the noise (a short
exposure in a dark place), and there is no mosaic, for the environments start from demosaicked RAW.

    photo -> inverse tone curve -> gamma expansion -> colour matrix -> inverse white balance -> darken -> noise -> clip
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real

import numpy as np
import numpy.typing as npt

from isp_gym.data.colour import SRGB_TO_XYZ, XYZ_TO_CAMERA, FloatArray

# What the fields of the settings may be: the bounds of a range (0 excluded), of a pair of numbers, and of a number.
_RANGES = {"red_gain": 100.0, "blue_gain": 100.0, "light": 1.0, "shot_noise": 1.0}
_PAIRS = {"digital_gain": 100.0, "read_noise_line": 100.0}
_NUMBERS = {"read_noise_spread": (0.0, 5.0), "highlight_knee": (0.0, 0.999), "gamma": (0.1, 10.0)}


@dataclass(frozen=True)
class UnprocessSettings:
    """The distributions that a simulated camera shot is sampled from; the defaults are the paper's, but for ``light``.

    Attributes:
        red_gain: Uniform range of the white-balance gain of red.
        blue_gain: Uniform range of the white-balance gain of blue.
        digital_gain: Mean and standard deviation of the *inverse* of the gain that brightens all channels.
        light: Log-uniform range of the factor by which the scene is darkened; 1 is the paper's well-lit exposure. The
            default puts the RAW input at about 6 to 8 dB PSNR against the photo.
        shot_noise: Log-uniform range of the shot-noise parameter (variance per unit of signal).
        read_noise_line: Slope and intercept of ``log(read variance) = slope * log(shot) + intercept`` (paper, Eq. 4).
        read_noise_spread: Standard deviation of the log read variance around that line.
        highlight_knee: Grey level above which the inverse gains fade out, so that white stays white (paper, Eq. 3).
        gamma: Exponent of the gamma expansion.

    Raises:
        ValueError: A value is of the wrong kind or out of range; the message begins with the field's name.

    Example:
        >>> UnprocessSettings(light=[0.05, 0.1]).light
        (0.05, 0.1)
    """

    red_gain: tuple[float, float] = (1.9, 2.4)
    blue_gain: tuple[float, float] = (1.5, 1.9)
    digital_gain: tuple[float, float] = (0.8, 0.1)
    light: tuple[float, float] = (0.1, 0.4)
    shot_noise: tuple[float, float] = (1e-4, 1.2e-2)
    read_noise_line: tuple[float, float] = (2.18, 1.20)
    read_noise_spread: float = 0.26
    highlight_knee: float = 0.9
    gamma: float = 2.2

    def __post_init__(self) -> None:
        for name, high in _RANGES.items():
            pair = self._pair(name, f"two numbers, 0 < low <= high <= {high:g}")
            if not 0 < pair[0] <= pair[1] <= high:
                raise ValueError(f"{name} must be two numbers, 0 < low <= high <= {high:g}, not {list(pair)}")
        for name, high in _PAIRS.items():
            words = f"two numbers between -{high:g} and {high:g}"
            if not max(map(abs, self._pair(name, words))) <= high:
                raise ValueError(f"{name} must be {words}, not {list(getattr(self, name))}")
        if self.digital_gain[1] < 0:
            raise ValueError(f"digital_gain must have a standard deviation of at least 0, not {self.digital_gain[1]}")
        for name, (low, high) in _NUMBERS.items():
            value = getattr(self, name)
            if not (_is_number(value) and low <= value <= high):
                raise ValueError(f"{name} must be a number between {low:g} and {high:g}, not {value!r}")
        slope, intercept = self.read_noise_line
        if max(slope * np.log(shot) + intercept for shot in self.shot_noise) > 0:
            raise ValueError("read_noise_line gives a read variance above 1; lower its intercept")

    def _pair(self, name: str, words: str) -> tuple[float, float]:
        """Turn a list, as YAML and JSON have it, into a tuple of two numbers."""
        value = getattr(self, name)
        if not (isinstance(value, (list, tuple)) and len(value) == 2 and all(map(_is_number, value))):
            default = list(getattr(type(self), name))
            raise ValueError(f"{name} must be {words}, such as {default}, not {value!r}")
        object.__setattr__(self, name, (float(value[0]), float(value[1])))
        return getattr(self, name)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def unprocess(
    photo: npt.ArrayLike, rng: np.random.Generator, settings: UnprocessSettings | None = None
) -> npt.NDArray[np.float32]:
    """Simulate the low-light RAW-RGB shot that a camera would have developed into ``photo``.

    The camera (colour matrix, gains, light, noise level) is sampled before any per-pixel noise, so that with equally
    seeded generators two sizes of one photo are seen by the same camera in the same light.

    Args:
        photo: Display-referred sRGB in [0, 1], shape (H, W, 3); values outside are clipped. It is not modified.
        rng: Source of every random number; equal states give equal results.
        settings: The distributions to draw from.

    Returns:
        Linear camera RGB without white balance, in [0, 1], shape (H, W, 3), float32.

    Raises:
        ValueError: If ``photo`` is not of shape (H, W, 3).
    """
    image = np.asarray(photo, dtype=np.float64)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"unprocess takes an image of shape (H, W, 3), not {image.shape}")
    settings = settings or UnprocessSettings()

    matrix = random_colour_matrix(rng)
    gains = random_inverse_gains(rng, settings)
    light = np.exp(rng.uniform(*np.log(settings.light)))
    shot, read = random_noise_level(rng, settings)

    linear = inverse_smoothstep(image) ** settings.gamma
    camera = invert_gains(linear @ matrix.T, gains, settings.highlight_knee)
    # The sensor saturates in the well-lit exposure, and only then is the light lowered: as far as the photo tells,
    # nothing is brighter than its white.
    dark = np.clip(camera, 0.0, 1.0) * light
    return np.clip(add_noise(dark, shot, read, rng), 0.0, 1.0).astype(np.float32)


def inverse_smoothstep(image: FloatArray) -> FloatArray:
    """Invert the tone curve ``y = 3x^2 - 2x^3`` on [0, 1] (paper, section 3.5); any shape, values clipped to [0, 1]."""
    return np.clip(0.5 - np.sin(np.arcsin(1.0 - 2.0 * np.clip(image, 0.0, 1.0)) / 3.0), 0.0, 1.0)


def random_colour_matrix(rng: np.random.Generator) -> FloatArray:
    """Draw a linear-sRGB-to-camera matrix, shape (3, 3), whose rows sum to 1, so that grey stays grey.

    It is a random convex combination of the four published cameras (paper, section 3.3).
    """
    weights = rng.uniform(1e-8, 1.0, size=len(XYZ_TO_CAMERA))
    matrix = np.tensordot(weights / weights.sum(), XYZ_TO_CAMERA, axes=1) @ SRGB_TO_XYZ
    return matrix / matrix.sum(axis=1, keepdims=True)


def random_inverse_gains(rng: np.random.Generator, settings: UnprocessSettings) -> FloatArray:
    """Draw what the camera's white balance and digital gain are divided by: three factors, shape (3,)."""
    red, blue = rng.uniform(*settings.red_gain), rng.uniform(*settings.blue_gain)
    # The bell curve has no end, and a factor of 0 or less would be an unlit or negative image.
    digital = max(rng.normal(*settings.digital_gain), 1e-2)
    return np.array([1.0 / red, 1.0, 1.0 / blue]) * digital


def invert_gains(image: FloatArray, gains: FloatArray, knee: float) -> FloatArray:
    """Apply inverse gains, shape (3,), but leave highlights alone (paper, section 3.4, Eq. 3).

    Gains below 1 would turn saturated white into a tint that no camera produces, so above ``knee`` they fade to 1. A
    gain above 1 is always applied in full.
    """
    grey = image.mean(axis=-1, keepdims=True)
    highlight = (np.clip(grey - knee, 0.0, None) / (1.0 - knee)) ** 2
    return image * np.maximum(highlight + (1.0 - highlight) * gains, gains)


def random_noise_level(rng: np.random.Generator, settings: UnprocessSettings) -> tuple[float, float]:
    """Draw the shot-noise parameter and the read-noise variance of a real camera (paper, section 3.1, Eq. 4)."""
    log_shot = rng.uniform(*np.log(settings.shot_noise))
    slope, intercept = settings.read_noise_line
    log_read = rng.normal(slope * log_shot + intercept, settings.read_noise_spread)
    return float(np.exp(log_shot)), float(np.exp(log_read))


def add_noise(image: FloatArray, shot: float, read: float, rng: np.random.Generator) -> FloatArray:
    """Add heteroscedastic Gaussian noise of variance ``read + shot * signal`` (paper, section 3.1, Eq. 1)."""
    return image + rng.normal(size=image.shape) * np.sqrt(image * shot + read)
