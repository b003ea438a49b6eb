import struct
import zlib

import numpy as np
import pytest
import tifffile


def _png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _png(pixels, before=b"", after=b"", size=None):
    height, width, channels = pixels.shape
    width, height = size or (width, height)
    colours = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, pixels.dtype.itemsize * 8, colours, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in pixels)
    middle = before + _png_chunk(b"IDAT", zlib.compress(rows)) + after
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + middle + _png_chunk(b"IEND", b"")


def _tiff(path, pixels, **options):
    channels = pixels.shape[2]
    alpha = {"extrasamples": [2]} if channels in (2, 4) else {}
    colours = "minisblack" if channels < 3 else "rgb"
    options = {"photometric": colours, "planarconfig": "contig" if channels > 1 else None, **alpha, **options}
    tifffile.imwrite(path, pixels[..., 0] if channels == 1 else pixels, **options)


@pytest.fixture(scope="session")
def png_chunk():
    """A chunk of a PNG file: ``png_chunk(kind, body)``."""
    return _png_chunk


@pytest.fixture(scope="session")
def png():
    """A PNG file by hand, of any kind: ``png(pixels, before, after, size)``, with chunks round the pixels."""
    return _png


@pytest.fixture(scope="session")
def tiff():
    """Write a TIFF file of any kind: ``tiff(path, pixels, **options)``, the options being those of tifffile."""
    return _tiff


@pytest.fixture(scope="session")
def deep():
    """Noise of 16 bits, (6, 9, 4)."""
    return np.random.default_rng(0).integers(0, 65536, (6, 9, 4)).astype(np.uint16)


@pytest.fixture(scope="session")
def shallow(deep):
    """The same in 8 bits."""
    return (deep >> 8).astype(np.uint8)


_BAYER = {"RGGB": (0, 1, 1, 2), "BGGR": (2, 1, 1, 0), "GRBG": (1, 0, 2, 1), "GBRG": (1, 2, 0, 1)}


def _dng(path, rgb, pattern="RGGB", black=512, white=15000, orientation=1):
    """Write a genuine DNG: linear camera RGB, (H, W, 3) in [0, 1], as a mosaic from the black to the white level.

    The black level is one, or one for each cell of the pattern.
    """
    blacks = np.broadcast_to(black, 4)
    rows, columns = np.indices(rgb.shape[:2]) % 2
    cell = rows * 2 + columns
    mosaic = np.take_along_axis(rgb, np.array(_BAYER[pattern])[cell][..., None], axis=2)[..., 0]
    levels = np.round(blacks[cell] + mosaic * (white - blacks[cell])).astype(np.uint16)
    ratio = [value for entry in np.eye(3).flatten() for value in (int(entry * 10000), 10000)]
    tags = [
        (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, "B", 4, _BAYER[pattern], True),  # CFAPattern
        (50706, "B", 4, (1, 4, 0, 0), True),  # DNGVersion
        (50707, "B", 4, (1, 1, 0, 0), True),  # DNGBackwardVersion
        (50708, "s", 0, "ISP Gym Test Camera", True),  # UniqueCameraModel
        (274, "H", 1, orientation, True),  # Orientation
        (50713, "H", 2, (2, 2), True),  # BlackLevelRepeatDim
        (50714, "H", 4, tuple(int(level) for level in blacks), True),  # BlackLevel
        (50717, "H", 1, white, True),  # WhiteLevel
        (50721, "2i", 9, ratio, True),  # ColorMatrix1
        (50728, "2I", 3, (5, 10, 1, 1, 6, 10), True),  # AsShotNeutral: a strong cast, which must not be removed
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1: D65
    ]
    tifffile.imwrite(path, levels, photometric=32803, planarconfig=1, extratags=tags, metadata=None)


@pytest.fixture(scope="session")
def write_dng():
    """See :func:`_dng`."""
    return _dng
