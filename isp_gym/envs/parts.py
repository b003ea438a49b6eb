"""Large batches on the CPU in parts that stay in its cache: what is computed is the same, image by image."""

from __future__ import annotations

from torch import Tensor

#: Numbers of a part; four megabytes. Beyond it each operation waits for memory, and one image at a time is faster.
CACHE = 2**20


def part_size(images: Tensor) -> int:
    """How many of ``images``, (n, 3, H, W), to work on at a time; all of them on an accelerator."""
    if images.device.type != "cpu" or images.numel() <= CACHE:
        return max(1, len(images))
    return max(1, CACHE // images[0].numel())
