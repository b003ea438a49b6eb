"""What an environment shows a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Frame = NDArray[np.uint8]

_SIDE = 224  # least height of an image in the picture, pixels
_LINE = 18  # height of a line of text
_LINES = 11  # a heading and the ten modules of the longest pipeline
_TITLES = ("input (linear)", "now", "target")


def draw(images: Sequence[Tensor], heading: str, lines: Sequence[str]) -> Frame:
    """Draw input, current image and, where there is one, target side by side over what has been done so far.

    The size depends on that of the images alone, so that the frames of an episode make a film.

    Args:
        images: Input, current image and perhaps target, each (3, H, W), shown clipped to [0, 1].
        heading: First line of text.
        lines: What has been done, one line per step; if there are too many, the last ones are shown.

    Returns:
        uint8 HWC; the images are enlarged by a whole factor to at least 224 rows.
    """
    row = torch.cat([image.detach().clamp(0, 1) for image in images], dim=2).mul(255).round().byte()
    pixels = row.permute(1, 2, 0).cpu().numpy()
    factor = -(-_SIDE // pixels.shape[0])
    pictures = pixels.repeat(factor, axis=0).repeat(factor, axis=1)
    canvas = np.full((_LINE + len(pictures) + (_LINES + 1) * _LINE, pictures.shape[1], 3), 24, np.uint8)
    canvas[_LINE : _LINE + len(pictures)] = pictures
    for i, title in enumerate(_TITLES[: len(images)]):
        _write(canvas, title, 6 + i * pictures.shape[1] // len(images), 0)
    numbered = [f"{i}. {line}" for i, line in enumerate(lines, start=1)][-(_LINES - 1) :]
    for i, line in enumerate([heading, *(numbered or ["nothing done yet"])]):
        _write(canvas, line, 6, _LINE + len(pictures) + i * _LINE + 4)
    return canvas


def _write(canvas: Frame, text: str, left: int, top: int) -> None:
    """Light text, made narrower where it would not fit."""
    width = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.42, 1)[0][0]
    size = 0.42 * min(1.0, (canvas.shape[1] - left - 6) / max(width, 1))
    cv2.putText(canvas, text, (left, top + 13), cv2.FONT_HERSHEY_SIMPLEX, size, (235, 235, 235), 1, cv2.LINE_AA)


class Window:
    """A window on the screen with Matplotlib, opened when the first frame is shown."""

    def __init__(self) -> None:
        self._figure: Any = None

    def show(self, frame: Frame) -> None:
        """Replace what the window shows."""
        import matplotlib.pyplot as plt  # half a second that only people who look should wait

        if self._figure is None:
            height, width = frame.shape[:2]
            self._figure = plt.figure("ISP Gym", figsize=(width / 100, height / 100), dpi=100)
        self._figure.clear()
        self._figure.figimage(frame)
        self._figure.canvas.draw_idle()
        if plt.get_backend().lower() != "agg":  # without a screen there is nobody to wait for
            self._figure.canvas.start_event_loop(0.001)

    def close(self) -> None:
        """Close the window; it may be closed already."""
        if self._figure is not None:
            import matplotlib.pyplot as plt

            plt.close(self._figure)
            self._figure = None
