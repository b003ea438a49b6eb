"""What a photo file says about itself, read without decoding a pixel, and whether we can take it at its word."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import tifffile
from PIL import Image

MAX_PIXELS = 170_000_000
"""The largest photo that is decoded, in pixels: above medium-format cameras, below what a bomb claims to be."""

_TOO_LARGE = f"more than {MAX_PIXELS // 10**6} megapixels; make it smaller"

_TIFF_MARKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_ORIENTATION = 274  # the same tag in EXIF and TIFF
_SAMPLES = {1: "", 2: "signed", 3: "float", 5: "complex", 6: "complex"}
_16_BIT_COLOURS = (1, 2)  # grey with black at 0, RGB
_8_BIT_COLOURS = (0, 1, 2, 3, 6)  # also grey with white at 0, palette, YCbCr


class Refused(Exception):
    """Why a file cannot be used, in words that follow "cannot use photo NAME:"."""


@dataclass(frozen=True)
class Header:
    """What a decoder must know: ``format`` (JPEG, PNG, TIFF), ``bits`` per channel (8 or 16) and, for TIFF, more.

    ``orientation`` is the EXIF number 1 to 8; ``planar`` says that the channels are stored one after the other.
    """

    format: str
    bits: int
    orientation: int = 1
    planar: bool = False


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


def _jpeg(path: Path) -> Header:
    with open_image(path) as image:
        _check_size(*image.size)
        if image.mode not in ("L", "RGB"):
            raise Refused(f"its colours are {image.mode}, not RGB or grey; convert it")
        return Header("JPEG", 8)


def _png(path: Path, start: bytes) -> Header:
    # IHDR is always the first chunk: width, height, bit depth.
    _check_size(int.from_bytes(start[16:20], "big"), int.from_bytes(start[20:24], "big"))
    bits = _check_bits(start[24])
    if bits == 8:
        return Header("PNG", bits)
    with open_image(path) as image:
        # OpenCV does not read the EXIF, which may stand behind the pixels, nor refuse every truncated PNG in every
        # version. Pillow does both, though only by decoding.
        image.load()
        return Header("PNG", bits, image.getexif().get(_ORIENTATION, 1))


def _tiff(path: Path) -> Header:
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        _check_size(page.imagewidth, page.imagelength)
        bits = _check_bits(page.bitspersample, _SAMPLES.get(page.sampleformat, "odd"))
        if page.photometric not in (_8_BIT_COLOURS if bits == 8 else _16_BIT_COLOURS):
            colours = tifffile.PHOTOMETRIC(page.photometric).name
            raise Refused(f"its colours are {bits}-bit {colours}, not RGB or grey; convert it")
        ends = (start + length for start, length in zip(page.dataoffsets, page.databytecounts, strict=True))
        if max(ends, default=0) > tiff.filehandle.size:
            raise Refused("it is truncated; replace or remove it")
        orientation = page.tags.valueof(_ORIENTATION, 1)
        return Header("TIFF", bits, int(orientation), page.planarconfig == tifffile.PLANARCONFIG.SEPARATE)


def open_image(path: Path) -> Image.Image:
    """Open a file with Pillow without a word on standard error; nothing is decoded yet.

    Raises:
        Refused: If it claims to be a bomb.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
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
