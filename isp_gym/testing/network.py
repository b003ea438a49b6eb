"""Check what every network must do."""

from __future__ import annotations

import torch
from torch import Tensor

from isp_gym.data import Objects
from isp_gym.networks import Detections, Network, load_network

_MAX_DETECTIONS = 100


def check_network(network: Network | str, image_size: int = 64) -> None:
    """Check a network: losses and detections of the right form, each image by itself, frozen, differentiable.

    Args:
        network: The network; or its name as for :func:`isp_gym.networks.load_network`.
        image_size: Side of the images that it is shown.

    Raises:
        AssertionError: A check has failed; the message says which.
    """
    network = load_network(network) if isinstance(network, str) else network
    assert isinstance(network, Network), f"a network is a Network, not a {type(network).__name__}"
    for name in ("classes", "loss_names"):
        names = getattr(network, name, None)
        fine = isinstance(names, tuple) and names and all(isinstance(each, str) for each in names)
        assert fine, f"{name} must be a tuple of names, not {names!r}"
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(3, 3, 8, 8, generator=generator)
    images = torch.nn.functional.interpolate(coarse, (image_size, image_size), mode="bilinear")
    objects = [_objects(network, image_size, count) for count in (2, 0, 1)]
    _check_losses(network, images, objects)
    _check_gradient(network, images, objects)
    _check_detections(network, images)


def _objects(network: Network, side: int, count: int) -> Objects:
    """Return rectangles side by side."""
    corners = torch.tensor([[4 + 20 * i, 6, 20 + 20 * i, 30] for i in range(count)], dtype=torch.float32)
    boxes = corners.reshape(-1, 4) * (side / 64)
    masks = torch.zeros(count, side, side, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    labels = torch.arange(count) % len(network.classes)
    return Objects(boxes, labels, network.classes, masks)


def _check_losses(network: Network, images: Tensor, objects: list[Objects]) -> None:
    kept = images.clone()
    losses = network.losses(images, objects)
    assert set(losses) == set(network.loss_names), f"losses are {sorted(losses)}, loss_names {network.loss_names}"
    again = network.losses(images, objects)
    alone = [network.losses(images[i : i + 1], objects[i : i + 1]) for i in range(len(images))]
    for name, values in losses.items():
        assert values.shape == (len(images),), f"loss '{name}' must be ({len(images)},), not {tuple(values.shape)}"
        assert values.isfinite().all(), f"loss '{name}' is not finite; one of the images has no objects"
        assert torch.equal(values, again[name]), f"the same images gave another loss '{name}'"
        single = torch.cat([each[name] for each in alone])
        same = torch.allclose(values, single, rtol=1e-3, atol=1e-5)
        assert same, f"loss '{name}' of an image depends on the rest of its batch"
    assert torch.equal(images, kept), "it writes to the images"


def _check_gradient(network: Network, images: Tensor, objects: list[Objects]) -> None:
    shown = images.clone().requires_grad_()
    total = torch.stack(list(network.losses(shown, objects).values())).sum()
    assert total.requires_grad, "the losses carry no gradient into the image"
    (gradient,) = torch.autograd.grad(total, shown)
    assert gradient.isfinite().all(), "the gradient of the losses is not finite"
    assert gradient.any(), "the gradient of the losses is zero everywhere"
    constant = torch.stack(list(network.losses(images, objects).values()))
    assert not constant.requires_grad, "its weights are not frozen: the losses carry a gradient into them"


def _check_detections(network: Network, images: Tensor) -> None:
    whole, side = network.detect(images), images.shape[-1]
    assert len(whole) == len(images), f"{len(images)} images gave {len(whole)} detections"
    assert torch.is_grad_enabled(), "it leaves gradients switched off"
    for i, (one, alone) in enumerate(zip(whole, [network.detect(images[i : i + 1])[0] for i in range(3)], strict=True)):
        _check_form(one, network, side)
        same = len(one.labels) == len(alone.labels) and torch.allclose(one.scores, alone.scores, atol=1e-4)
        assert same, f"what it predicts in image {i} depends on the rest of the batch"


def _check_form(predictions: Detections, network: Network, side: int) -> None:
    count = len(predictions.labels)
    assert count <= _MAX_DETECTIONS, f"it predicts {count} objects; at most {_MAX_DETECTIONS} are allowed"
    assert predictions.boxes.shape == (count, 4), f"boxes must be ({count}, 4), not {tuple(predictions.boxes.shape)}"
    inside = bool(((predictions.boxes >= -1e-3) & (predictions.boxes <= side + 1e-3)).all())
    assert inside, "a box leaves the image that was shown"
    assert bool((predictions.boxes[:, 2:] >= predictions.boxes[:, :2]).all()), "a box must be x1, y1, x2, y2"
    assert predictions.scores.shape == (count,), f"scores must be ({count},), not {tuple(predictions.scores.shape)}"
    assert bool(((predictions.scores >= 0) & (predictions.scores <= 1)).all()), "scores must lie in [0, 1]"
    assert bool((predictions.scores.diff() <= 0).all()), "predictions must be sorted by confidence"
    assert not predictions.labels.is_floating_point(), f"labels must be whole numbers, not {predictions.labels.dtype}"
    known = bool(((predictions.labels >= 0) & (predictions.labels < len(network.classes))).all())
    assert known, "a label is not an index into classes"
    assert not any(each.requires_grad for each in (predictions.boxes, predictions.scores)), (
        "detections carry a gradient"
    )
    if "mask" in network.loss_names:
        masks = predictions.masks
        fine = masks is not None and masks.shape == (count, side, side) and masks.dtype == torch.bool
        assert fine, f"masks must be ({count}, {side}, {side}) bool"
