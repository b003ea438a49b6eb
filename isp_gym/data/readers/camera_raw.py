"""Reading camera RAW files (DNG, CR2, NEF, ARW, ...) as linear camera RGB, by LibRaw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from isp_gym.data.readers.photos import MAX_PIXELS
from isp_gym.errors import UserError

EXTENSIONS = (
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".raf", ".rw2", ".orf", ".pef", ".srw"),
    *(".3fr", ".erf", ".iiq", ".kdc", ".dcr", ".mos", ".mrw", ".x3f", ".rwl"),
)


def read_raw(path: str | Path) -> npt.NDArray[np.uint16]:
    """Develop a RAW file as little as possible: black level off, white level to 1, demosaicked, upright.

    Nothing is done that a pipeline is here to learn: no white balance (all multipliers are 1), no brightness (neither
    automatic nor by the image's maximum), no gamma, no colour matrix, no denoising.

    Args:
        path: The file.

    Returns:
        Linear camera RGB, (H, W, 3) uint16, 0 at the black level and 65535 at the white level.

    Raises:
        UserError: rawpy is not installed, or the file is missing, damaged, no RAW file, or too large.
    """
    rawpy, path = _rawpy(), Path(path)
    if not path.is_file():
        raise UserError(f"cannot use RAW file {path}: there is no such file")
    try:
        with rawpy.imread(str(path)) as raw:
            sizes = raw.sizes
            if sizes.raw_width * sizes.raw_height > MAX_PIXELS:
                raise UserError(
                    f"cannot use RAW file {path}: it claims {sizes.raw_width} x {sizes.raw_height} pixels, "
                    f"more than {MAX_PIXELS // 10**6} megapixels; make it smaller"
                )
            levels = (raw.black_level_per_channel, raw.white_level)
            pixels = raw.postprocess(
                output_bps=16,
                output_color=rawpy.ColorSpace.raw,
                gamma=(1, 1),
                no_auto_bright=True,
                # LibRaw lowers the white level to the image's own maximum, within this tolerance.
                adjust_maximum_thr=0.0,
                user_wb=[1.0, 1.0, 1.0, 1.0],
                highlight_mode=rawpy.HighlightMode.Clip,
            )
        return _to_white(pixels, *levels)
    except UserError:
        raise
    except Exception as error:  # LibRaw's own errors, and what a damaged file makes of the rest
        raise UserError(
            f"cannot use RAW file {path}: it is truncated, damaged or no camera RAW file ({error}); "
            "replace or remove it"
        ) from error


def _to_white(pixels: npt.NDArray[np.uint16], blacks: Sequence[int], white: int) -> npt.NDArray[np.uint16]:
    """Bring each channel's white level to 1: LibRaw scales all of them as if they had the lowest black level."""
    red, green, blue, second_green = blacks
    if len(set(blacks)) == 1:
        return pixels
    each = np.array([red, (green + second_green) / 2, blue])
    scaled = pixels * ((white - min(blacks)) / (white - each))
    return np.clip(np.round(scaled), 0, 65535).astype(np.uint16)


def check_rawpy() -> None:
    """Raise ``UserError`` unless rawpy is installed."""
    _rawpy()


def _rawpy() -> Any:
    try:
        import rawpy
    except ImportError as error:
        raise UserError("camera RAW files need rawpy; install it with pip install 'isp-gym[raw]'") from error
    return rawpy
