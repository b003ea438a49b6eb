"""Reading one photograph from disk with all its bits, or one clear error that names the file.

No single library does this. Pillow and scikit-image reduce 16-bit colour to 8 bits in silence; OpenCV fills the missing
part of a truncated JPEG with grey, and scrambles planar TIFF, in silence; tifffile cannot undo LZW by itself. So the
header is read and checked first; then 8-bit files go to Pillow, which refuses truncated ones, and 16-bit files to
OpenCV or, where their layout is unusual, to tifffile.

Embedded colour profiles are not applied: a photo is taken for sRGB. Of a file with several pages the first is read.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import ImageOps

from isp_gym.data.readers.headers import Header, Refused, listen_to_tifffile, open_image, read_header
from isp_gym.data.readers.quiet import quiet_opencv, quiet_warnings
from isp_gym.errors import UserError

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


def read_photo(path: Path) -> Pixels:
    """Read a JPEG, PNG or TIFF photo of 8 or 16 bits.

    Grey becomes three equal channels, alpha is dropped, and the EXIF orientation is applied. What the file is, is told
    by its content, not by its extension.

    Args:
        path: The file.

    Returns:
        sRGB, shape (H, W, 3), uint8 or, where the file has 16 bits, uint16 with every bit kept.

    Raises:
        UserError: If the file is missing, empty, truncated, damaged, no image, of another bit depth or colour space, or
            claims more than ``headers.MAX_PIXELS``. The message names the file.
    """
    try:
        header = read_header(path)
        return _read_8_bit(path) if header.bits == 8 else _read_16_bit(path, header)
    except Exception as error:
        # A damaged file can make a decoder fail in any way at all; whichever it is, the file is at fault.
        raise UserError(f"cannot use photo {path}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, Refused):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it; make it smaller"
    if isinstance(error, OSError) and error.strerror:  # of the file system, not of a decoder
        return f"{error.strerror}; replace or remove it"
    return "it is truncated, damaged or of a rare kind; replace or remove it"


def _read_8_bit(path: Path) -> npt.NDArray[np.uint8]:
    with open_image(path) as image, quiet_warnings():
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _read_16_bit(path: Path, header: Header) -> npt.NDArray[np.uint16]:
    pixels = _read_unusual(path) if header.unusual else _read_interleaved(path, header)
    if pixels.dtype != np.uint16:
        raise ValueError(f"decoded to {pixels.dtype}")
    # OpenCV turns a TIFF upright by itself, but not a PNG whose EXIF it never sees; tifffile turns nothing.
    upright = header.format == "TIFF" and not header.unusual
    return np.ascontiguousarray(pixels if upright else _orient(pixels, header.orientation))


def _read_interleaved(path: Path, header: Header) -> np.ndarray:
    data = path.read_bytes()  # imread fails on some names that are not ASCII
    if header.format == "PNG":
        data = _bare_png(data)
    with quiet_opencv():
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("not decoded")
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    return pixels[..., 2::-1]  # blue, green, red[, alpha] -> red, green, blue


def _bare_png(data: bytes) -> bytes:
    """The header and pixels of a PNG without the rest, of which libpng would complain on standard error."""
    kept, at = [data[:8]], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] in (b"IHDR", b"IDAT"):
            chunk = data[at:end]
            if zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
                raise ValueError("wrong checksum")
            kept.append(chunk)
        at = end
    return b"".join([*kept, b"\0\0\0\0IEND\xae\x42\x60\x82"])


def _read_unusual(path: Path) -> np.ndarray:
    try:
        with listen_to_tifffile(), tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            pixels = page.asarray()
    except ValueError:
        raise Refused("it is a compressed TIFF of a rare layout; save it without compression") from None
    if page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        pixels = np.moveaxis(pixels, 0, -1)
    return np.repeat(pixels[..., :1], 3, axis=2) if pixels.shape[2] == 2 else pixels[..., :3]


def _orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image (H, W, 3) upright as EXIF tag 274 says, which Pillow does by itself."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
