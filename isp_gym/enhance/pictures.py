"""Files as linear images, as the policy's view of them, and images as PNG files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from isp_gym.data.annotations.letterbox import Letterbox
from isp_gym.data.readers import read_photo, read_raw
from isp_gym.data.readers.camera_raw import EXTENSIONS as RAW_EXTENSIONS
from isp_gym.data.sets.base_files import central_square, to_tensor
from isp_gym.errors import UserError

Light = Literal["linear", "display"]
View = Literal["crop", "letterbox"]

_ROWS = 256  # taken at once, so that no second image of full size is needed on the way


@dataclass(frozen=True)
class Picture:
    """A decoded file.

    Attributes:
        pixels: (H, W, 3), uint8 or uint16, upright.
        light: ``linear``: proportional to the light, as a sensor's values are; ``display``: sRGB, a finished photo.
    """

    pixels: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
    light: Light

    def linear(self) -> Tensor:
        """Return the image in linear light, (3, H, W) float32 in [0, 1]."""
        return self._mapped(self._to_linear() if self.light == "display" else self._levels())

    def display(self) -> Tensor:
        """Return the values as they are, (3, H, W) float32 in [0, 1]."""
        return self._mapped(self._levels())

    def thumbnail(self, size: int, view: View) -> Tensor:
        """Return what a policy sees, made as training scenes are.

        Args:
            size: S.
            view: ``crop``: the central square; ``letterbox``: the whole image, black beside it.

        Returns:
            Linear light, (3, S, S) float32 in [0, 1].
        """
        pixels: npt.NDArray = self.pixels
        if self.light == "display":  # 16 bits of linear light are enough for what is averaged
            pixels = np.round(self._to_linear() * 65535).astype(np.uint16)[pixels]
        if view == "crop":
            return to_tensor(central_square(pixels, size))
        return to_tensor(Letterbox((pixels.shape[1], pixels.shape[0]), size).image(pixels))

    def _levels(self) -> npt.NDArray[np.float32]:
        """The value in [0, 1] of every level that a pixel may have."""
        highest = np.iinfo(self.pixels.dtype).max
        return np.arange(highest + 1, dtype=np.float32) / np.float32(highest)

    def _to_linear(self) -> npt.NDArray[np.float32]:
        """The linear light of every level, by the sRGB transfer function (IEC 61966-2-1)."""
        levels = self._levels().astype(np.float64)
        return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4).astype(np.float32)

    def _mapped(self, table: npt.NDArray[np.float32]) -> Tensor:
        planes = torch.empty(3, *self.pixels.shape[:2])
        for top in range(0, len(self.pixels), _ROWS):
            rows = table[self.pixels[top : top + _ROWS]]
            planes[:, top : top + _ROWS] = torch.from_numpy(rows).permute(2, 0, 1)
        return planes


def read_picture(path: Path, light: Light | None = None) -> Picture:
    """Read a photo or a camera RAW file.

    Args:
        path: The file; RAW files are known by their extension, photos by their content.
        light: What the values of a photo are; by default linear where it has 16 bits, and display-referred where it
            has 8. Camera RAW is always linear.

    Raises:
        UserError: The file cannot be used, or a RAW file is said to be display-referred.
    """
    if path.suffix.lower() in RAW_EXTENSIONS:
        if light == "display":
            raise UserError(f"camera RAW is never display-referred, and {path} is; leave out --input display")
        return Picture(read_raw(path), "linear")
    pixels = read_photo(path)
    return Picture(pixels, light or ("linear" if pixels.dtype == np.uint16 else "display"))


def encode_png(image: Tensor, bits: int = 8) -> bytes:
    """Encode a display-referred image as PNG.

    Args:
        image: (3, H, W) floating point on the CPU; clipped to [0, 1] and rounded.
        bits: 8 or 16 per channel.

    Raises:
        UserError: The image holds NaN or infinite values, or is too large for the format.
    """
    dtype, highest = (np.uint8, 255) if bits == 8 else (np.uint16, 65535)
    pixels = np.empty((*image.shape[1:], 3), dtype)
    for top in range(0, len(pixels), _ROWS):
        rows = image[:, top : top + _ROWS].detach().permute(1, 2, 0).flip(2)  # OpenCV takes blue, green, red
        if not rows.isfinite().all():
            raise UserError("the policy made an image with NaN or infinite values")
        pixels[top : top + _ROWS] = rows.clamp(0, 1).mul(highest).round().numpy().astype(dtype)
    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise UserError(f"{pixels.shape[1]} x {pixels.shape[0]} pixels cannot be encoded as PNG")
    return data.tobytes()
