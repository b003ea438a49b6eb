"""Read one photograph from disk with all its bits, or raise one clear error that names the file.

No single library does this: Pillow reduces 16-bit colour to 8 bits silently, OpenCV fills the missing part of a
truncated JPEG with grey. So the header is read and checked first, without decoding a pixel; then 8-bit files go to
Pillow, which refuses truncated ones, 16-bit TIFF to tifffile with imagecodecs, and 16-bit PNG to imagecodecs.

Embedded colour profiles are not applied: a photo is taken for sRGB. Of a file with several pages the first is read.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, ImageOps

from isp_gym.data.readers.quiet import quiet_warnings
from isp_gym.errors import UserError

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

MAX_PIXELS = 170_000_000
"""The largest photo that is decoded, in pixels: above medium-format cameras, below what a bomb claims to be."""

_TOO_LARGE = f"more than {MAX_PIXELS // 10**6} megapixels; make it smaller"

_TRUNCATED = "it is truncated; replace or remove it"
_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION = 274  # the same tag in EXIF and TIFF
_SAMPLES = {1: "", 2: "signed", 3: "float", 5: "complex", 6: "complex"}
_16_BIT_COLOURS = (1, 2)  # grey with black at 0, RGB
_8_BIT_COLOURS = (0, 1, 2, 3, 6)  # also grey with white at 0, palette, YCbCr
# Width, length, bits, compression, colours, strips, orientation, samples, planes, predictor, palette, tiles, format.
_PIXEL_TAGS = {256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 324, 325, 339}
_PALETTE = 3  # PNG colour type: the bits are those of an index, the colours always have 8


class Refused(Exception):
    """Why a file cannot be used, in words that follow "cannot use photo NAME:"."""


@dataclass(frozen=True)
class Header:
    """What a decoder must know: ``format`` (JPEG, PNG, TIFF), ``bits`` per channel (8 or 16), EXIF ``orientation``."""

    format: str
    bits: int
    orientation: int = 1


def read_photo(path: str | Path) -> Pixels:
    """Read a JPEG, PNG or TIFF photo of 8 or 16 bits.

    Grey becomes three equal channels, alpha is dropped, and the EXIF orientation is applied. What the file is, is told
    by its content, not by its extension.

    Args:
        path: The file.

    Returns:
        sRGB, shape (H, W, 3), uint8 or, where the file has 16 bits, uint16 with every bit kept.

    Raises:
        UserError: If the file is missing, empty, truncated, damaged, no image, of another bit depth or colour space, or
            claims more than ``MAX_PIXELS``. The message names the file.

    Example:
        >>> import skimage
        >>> read_photo(Path(skimage.__file__).parent / "data" / "astronaut.png").shape
        (512, 512, 3)
    """
    try:
        header = read_header(Path(path))
        return _read_8_bit(Path(path)) if header.bits == 8 else _read_16_bit(Path(path), header)
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
    pixels = _read_tiff(path) if header.format == "TIFF" else imagecodecs.png_decode(path.read_bytes())
    if pixels.dtype != np.uint16:
        raise ValueError(f"decoded to {pixels.dtype}")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    rgb = pixels[..., :3] if pixels.shape[2] > 2 else np.repeat(pixels[..., :1], 3, axis=2)
    return np.ascontiguousarray(_orient(rgb, header.orientation))


def _read_tiff(path: Path) -> np.ndarray:
    with listen_to_tifffile(), tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        pixels = page.asarray()
    planar = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE and pixels.ndim == 3
    return np.moveaxis(pixels, 0, -1) if planar else pixels


def _orient(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image (H, W, 3) upright as EXIF tag 274 says, which Pillow does by itself."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def read_header(path: Path) -> Header:
    """Read and check the header of a JPEG, PNG or TIFF file, told apart by content.

    Args:
        path: The file.

    Returns:
        The header of a file that claims nothing impossible.

    Raises:
        Refused: If the file is empty, of another kind, of another bit depth, too large, or ends too early.
        OSError: If it cannot be opened.
        Exception: Whatever a decoder raises on a damaged header.
    """
    with path.open("rb") as file:
        start = file.read(32)
    if not start:
        raise Refused("it is empty")
    if start.startswith(b"\xff\xd8\xff"):
        return _jpeg(path)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(path, start)
    if start.startswith(_TIFF_MARKS):
        return _tiff(path)
    raise Refused("it is not a JPEG, PNG or TIFF file, whatever its name says")


def read_size(path: Path) -> tuple[int, int]:
    """Return width and height of an upright photo as its header tells, which is checked only when it is decoded.

    Raises:
        Exception: Whatever a decoder raises on a damaged header.
    """
    with path.open("rb") as file:
        tiff = file.read(4) in _TIFF_MARKS
    if tiff:
        with listen_to_tifffile(), tifffile.TiffFile(path) as pages:
            page = pages.pages.first
            size, orientation = (page.imagewidth, page.imagelength), page.tags.valueof(_ORIENTATION, 1)
    else:
        with open_image(path) as image, quiet_warnings():
            # To ask for an EXIF that does not stand before the pixels would decode a PNG.
            size, orientation = image.size, image.getexif().get(_ORIENTATION, 1) if "exif" in image.info else 1
    return (size[1], size[0]) if orientation in (5, 6, 7, 8) else size


def _jpeg(path: Path) -> Header:
    with open_image(path) as image:
        _check_size(*image.size)
        if image.mode not in ("L", "RGB"):
            raise Refused(f"its colours are {image.mode}, not RGB or grey; convert it")
        return Header("JPEG", 8)


def _png(path: Path, start: bytes) -> Header:
    # IHDR is always the first chunk: width, height, bit depth, colour type.
    if len(start) < 26:
        raise Refused(_TRUNCATED)
    _check_size(int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big"))
    bits = 8 if start[25] == _PALETTE else _check_bits(start[24])
    if bits == 8:
        return Header("PNG", bits)
    with open_image(path) as image:
        # The EXIF may stand behind the pixels; Pillow finds it, and every fault of the file, though only by decoding.
        image.load()
        with quiet_warnings():
            return Header("PNG", bits, image.getexif().get(_ORIENTATION, 1))


def _tiff(path: Path) -> Header:
    with listen_to_tifffile() as lost, tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        if lost & _PIXEL_TAGS:  # tifffile goes on with a default, which would be a guess
            raise Refused("its header is truncated or damaged; replace or remove it")
        _check_size(page.imagewidth, page.imagelength)
        bits = _check_bits(page.bitspersample, _SAMPLES.get(page.sampleformat, "odd"))
        if page.photometric not in (_8_BIT_COLOURS if bits == 8 else _16_BIT_COLOURS):
            colours = tifffile.PHOTOMETRIC(page.photometric).name
            raise Refused(f"its colours are {bits}-bit {colours}, not RGB or grey; convert it")
        if page.samplesperpixel > 4:
            raise Refused(f"it has {page.samplesperpixel} channels, not grey or RGB; convert it")
        ends = [start + length for start, length in zip(page.dataoffsets, page.databytecounts, strict=True)]
        if max(ends) > tiff.filehandle.size:
            raise Refused(_TRUNCATED)
        return Header("TIFF", bits, int(page.tags.valueof(_ORIENTATION, 1)))


@contextmanager
def listen_to_tifffile() -> Iterator[set[int]]:
    """Keep tifffile's log off standard error; yields the set, growing, of the tags that it could not read."""
    lost: set[int] = set()
    thread = threading.get_ident()

    def listen(record: logging.LogRecord) -> bool:
        tag = re.search(r"TiffTag (\d+) ", record.getMessage())
        if tag and record.thread == thread:
            lost.add(int(tag[1]))
        return False

    logger = logging.getLogger("tifffile")
    logger.addFilter(listen)
    try:
        yield lost
    finally:
        logger.removeFilter(listen)


def open_image(path: Path) -> Image.Image:
    """Open a file with Pillow without a word on standard error; nothing is decoded yet.

    Raises:
        Refused: If it claims to be a bomb.
    """
    with quiet_warnings():
        try:
            return Image.open(path)
        except Image.DecompressionBombError:
            raise Refused(f"it claims to be {_TOO_LARGE}") from None


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Refused(f"it claims {width} x {height} pixels, {_TOO_LARGE}")
    if width < 1 or height < 1:
        raise Refused("it claims to have no pixels; replace or remove it")


def _check_bits(bits: int | tuple[int, ...], samples: str = "") -> int:
    if samples or bits not in (8, 16) or not isinstance(bits, int):
        found = f"{bits}-bit {samples}".rstrip()
        raise Refused(f"it has {found} channels; only 8 and 16-bit unsigned integers are read; convert it")
    return bits
