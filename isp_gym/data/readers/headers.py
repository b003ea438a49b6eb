"""What a photo file says about itself, read without decoding a pixel, and whether we can take it at its word."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import tifffile
from PIL import Image

from isp_gym.data.readers.quiet import quiet_warnings

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
    """What a decoder must know: ``format`` (JPEG, PNG, TIFF), ``bits`` per channel (8 or 16) and, for TIFF, more.

    ``orientation`` is the EXIF number 1 to 8. ``unusual`` says that OpenCV cannot read the TIFF: its channels stand
    one after the other, or are grey and alpha.
    """

    format: str
    bits: int
    orientation: int = 1
    unusual: bool = False


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
    """Width and height of an upright photo as its header tells, which is checked only when it is decoded.

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
        # OpenCV does not read the EXIF, which may stand behind the pixels, nor refuse every truncated PNG in every
        # version. Pillow does both, though only by decoding.
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
        unusual = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE or page.samplesperpixel == 2
        return Header("TIFF", bits, int(page.tags.valueof(_ORIENTATION, 1)), unusual)


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
