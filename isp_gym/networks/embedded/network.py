"""The network that comes with the package: it finds the objects of the synthetic scenes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from isp_gym.data import Objects
from isp_gym.errors import UserError
from isp_gym.networks.base import Detections, Network
from isp_gym.networks.embedded.decode import decode
from isp_gym.networks.embedded.loss import LOSSES, embedded_losses
from isp_gym.networks.embedded.model import EmbeddedDetector

WEIGHTS = Path(__file__).with_name("embedded.safetensors")


class EmbeddedNetwork(Network):
    """A detector and instance segmenter of a million parameters, trained on well-lit synthetic scenes.

    Images of any size are shown to it at the size that it was trained at.

    Args:
        weights: What ``scripts/train_embedded.py`` wrote, with its card (``.json``) beside it.
        device: Torch device.

    Raises:
        UserError: The file or its card is missing, damaged, or of another network.
    """

    loss_names = LOSSES

    def __init__(self, weights: str | Path = WEIGHTS, device: str = "cpu") -> None:
        card = _card(Path(weights))
        self.classes, self._size = tuple(card["classes"]), int(card["size"])
        self._net = EmbeddedDetector(len(self.classes))
        try:
            self._net.load_state_dict(load_file(weights))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise UserError(
                f"cannot use weights {weights}: they are damaged or not those of an embedded network; "
                "make them with python scripts/train_embedded.py"
            ) from error
        self._net.to(device).eval().requires_grad_(False)

    def losses(self, images: Tensor, objects: Sequence[Objects]) -> dict[str, Tensor]:
        """See :meth:`Network.losses` and :func:`isp_gym.networks.embedded.loss.embedded_losses`."""
        return embedded_losses(self._net(self._resize(images)), [self._shown(o, images.shape[-1]) for o in objects])

    @torch.no_grad()
    def detect(self, images: Tensor) -> list[Detections]:
        """See :meth:`Network.detect`."""
        side = images.shape[-1]
        found = decode(self._net(self._resize(images)), self._size)
        return [replace(d, boxes=d.boxes * (side / self._size), masks=_masks(d.masks, side)) for d in found]

    def _resize(self, images: Tensor) -> Tensor:
        if images.shape[-1] == self._size:
            return images
        size = (self._size, self._size)
        return F.interpolate(images, size=size, mode="bilinear", align_corners=False, antialias=True)

    def _shown(self, objects: Objects, side: int) -> Objects:
        """What is in the image at the size at which it is shown; the losses bring masks to theirs by themselves."""
        return replace(objects, boxes=objects.boxes * (self._size / side))


def _masks(masks: Tensor | None, side: int) -> Tensor | None:
    if masks is None or masks.shape[-1] == side:
        return masks
    if not len(masks):
        return masks.new_zeros(0, side, side)
    return F.interpolate(masks[None].float(), size=(side, side), mode="bilinear", antialias=True)[0] > 0.5


def _card(weights: Path) -> dict[str, Any]:
    file = weights.with_suffix(".json")
    try:
        card = json.loads(file.read_text())
        return {"classes": card["classes"], "size": card["size"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot use weights {weights}: their card {file} is missing or damaged") from error
