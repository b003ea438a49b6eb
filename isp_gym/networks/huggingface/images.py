"""What a Hugging Face image processor does to images, in torch, so that gradients flow through it."""

from __future__ import annotations

from typing import Any

from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

_STRIDE = 32  # the coarsest of the networks; others take any multiple of it too

_Recipe = tuple[tuple[int, int], Tensor, Tensor]


class Preparation:
    """Resizes (bilinear, antialiased) and normalises square images as an image processor of transformers would.

    The processor itself is asked: its rescaling and normalising are affine, so that a black and a white image tell all
    of it, whatever its options are. Where it does not resize, images keep their size, rounded up to a multiple of 32.

    Args:
        processor: The model's image processor.
    """

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._recipes: dict[int, _Recipe] = {}

    def __call__(self, images: Tensor) -> Tensor:
        """Prepare images in [0, 1], (B, 3, S, S), as the model wants to see them, (B, 3, h, w)."""
        side = images.shape[-1]
        if side not in self._recipes:
            self._recipes[side] = self._recipe(side)
        size, black, white = self._recipes[side]
        if size != (side, side):
            images = interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        black, white = black.to(images), white.to(images)
        return black + images * (white - black)

    def _recipe(self, side: int) -> _Recipe:
        """Return the size of what the processor makes of a square, and what black and white become, each (3, 1, 1)."""
        if not self._processor.do_resize:
            side = -(-side // _STRIDE) * _STRIDE
        # The images of a batch are of one size: there is nothing to pad.
        options = {"do_pad": False} if getattr(self._processor, "do_pad", None) else {}
        shown = [Image.new("RGB", (side, side), colour) for colour in ("black", "white")]
        black, white = self._processor(shown, return_tensors="pt", **options)["pixel_values"]
        height, width = black.shape[-2:]
        return (height, width), black[:, :1, :1], white[:, :1, :1]
