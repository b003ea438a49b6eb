"""A pipeline on an image of any size."""

from __future__ import annotations

from functools import partial
from itertools import groupby

import torch
from torch import Tensor

from isp_gym.enhance.tiles import TILE, apply_in_tiles
from isp_gym.modules import Bank
from isp_gym.pipelines import Pipelines

Step = tuple[int, Tensor]  # a token, and the parameters (P,) of its step


@torch.no_grad()
def apply_pipeline(pipeline: Pipelines, image: Tensor, side: int = TILE) -> Tensor:
    """Apply a pipeline to an image, module by module, in tiles.

    Args:
        pipeline: A batch of one; where its parameters are, tiles are computed.
        image: (3, H, W) float32, linear RGB. It is overwritten.
        side: Of a tile in pixels.

    Returns:
        (3, H, W): what the pipeline makes of the whole image at once, to within rounding. At most two images of this
        size are in memory.

    Raises:
        ValueError: The batch holds another number of pipelines.
    """
    if len(pipeline) != 1:
        raise ValueError(f"apply_pipeline takes a batch of one pipeline, not of {len(pipeline)}")
    bank, spare = pipeline.rules.bank, None
    steps = zip(pipeline.tokens[0].tolist(), pipeline.params[0], strict=True)
    program = [(token, params) for token, params in steps if token != bank.end_token]
    for pointwise, group in groupby(program, lambda step: bank.modules[step[0]].radius == 0):
        # Pointwise modules in a row are applied to a tile at once, and in place.
        for run in [list(group)] if pointwise else [[step] for step in group]:
            function = partial(_apply_steps, bank, run)
            if pointwise:
                apply_in_tiles(function, image, image, 0, side)
                continue
            spare = torch.empty_like(image) if spare is None else spare
            apply_in_tiles(function, image, spare, bank.modules[run[0][0]].radius, side)
            image, spare = spare, image
    return image


@torch.no_grad()  # also in the threads of tiles
def _apply_steps(bank: Bank, steps: list[Step], images: Tensor) -> Tensor:
    """Some steps of a pipeline on images (1, 3, h, w), where the parameters are."""
    params = torch.stack([params for _, params in steps])[None]
    tokens = torch.tensor([[token for token, _ in steps]])
    return bank(images.to(params.device), tokens, params)
