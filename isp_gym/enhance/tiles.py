"""Functions of images applied tile by tile, with the result that they have on the whole image.

A tile is computed from a window that reaches ``radius`` pixels further on each side, and what a function makes of the
window's own edges is cut off. Where a tile comes near an edge of the image the window ends there, so that borders are
treated as in the whole image; and behind that edge the window goes on with what lies at the opposite one, for a
function that takes its borders circularly looks there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from isp_gym.benchmark.files import default_jobs

TILE = 512
"""Side of a tile in pixels: its buffers fit the cache, and the margins of non-local means add 6 % of work."""

MAX_WORKERS = 8
"""Tiles computed at a time, one a core: their buffers take memory, and the images' own is what limits the rest."""


@dataclass(frozen=True)
class Span:
    """A tile's extent along one axis.

    Attributes:
        tile: What is computed.
        window: What it is computed from, slices of the image to be joined in this order.
        offset: Where the tile begins in the joined window.
    """

    tile: slice
    window: tuple[slice, ...]
    offset: int

    @property
    def inner(self) -> slice:
        """The tile in the joined window."""
        return slice(self.offset, self.offset + self.tile.stop - self.tile.start)


def spans(size: int, side: int, radius: int) -> Iterator[Span]:
    """Divide an axis of ``size`` pixels into tiles of ``side`` pixels, the last one perhaps shorter."""
    for start in range(0, size, side):
        stop = min(start + side, size)
        low, high = max(0, start - radius), min(size, stop + radius)
        # What a circular border finds on the opposite side, as far as the window does not hold it already.
        before = slice(0, min(radius, low) if high == size else 0)
        after = slice(max(high, size - radius) if low == 0 else size, size)
        pieces = tuple(piece for piece in (before, slice(low, high), after) if piece.stop > piece.start)
        yield Span(slice(start, stop), pieces, before.stop + start - low)


def apply_in_tiles(
    function: Callable[[Tensor], Tensor], image: Tensor, out: Tensor, radius: int | None, side: int = TILE
) -> None:
    """Write ``function(image)`` to ``out``, computed in tiles.

    Args:
        function: (1, 3, h, w) -> (1, 3, h, w); called from several threads at a time.
        image: (3, H, W).
        out: (3, H, W); may be ``image`` itself where ``radius`` is 0.
        radius: As :class:`isp_gym.modules.Module` declares it; ``None`` applies the function to the whole image.
        side: Of a tile in pixels, at least 1.
    """
    height, width = image.shape[1:]
    if radius is None or (height <= side and width <= side):
        out.copy_(function(image[None])[0])
        return

    def compute(rows: Span, columns: Span) -> None:
        result = function(_window(image, rows, columns)[None])
        out[:, rows.tile, columns.tile] = result[0, :, rows.inner, columns.inner]

    # A tile a core waits for no other; threads within each of its many small operations would.
    tiles = product(spans(height, side, radius), spans(width, side, radius))
    with ThreadPoolExecutor(min(MAX_WORKERS, default_jobs())) as pool:
        for _ in pool.map(lambda tile: compute(*tile), tiles):
            pass  # only to raise what was raised there


def _window(image: Tensor, rows: Span, columns: Span) -> Tensor:
    """A contiguous copy of what a tile is computed from, (3, h, w)."""
    across = [torch.cat([image[:, r, c] for c in columns.window], 2) for r in rows.window]
    return torch.cat(across, 1)
