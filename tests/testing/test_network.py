"""``check_network`` passes what is sound and catches what is broken, one fault at a time."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import isp_gym  # noqa: F401 (registers the environments)
from isp_gym.networks import Detections, Network
from isp_gym.testing import check_network


class Bright(Network):
    """Finds the left and the right half of every image."""

    classes, loss_names = ("light", "lamp"), ("class", "mask")

    def __init__(self):
        self.weight = nn.Parameter(torch.ones(1), requires_grad=False)

    def losses(self, images, objects):
        light = images.mean(dim=(1, 2, 3)) * self.weight
        return {"class": light, "mask": torch.stack([light[i] * len(one) for i, one in enumerate(objects)])}

    @torch.no_grad()
    def detect(self, images):
        return [self.found(image) for image in images]

    def found(self, image):
        side = image.shape[-1]
        boxes = torch.tensor([[0.0, 0.0, side / 2, side], [side / 2, 0.0, side, side]])
        scores = image.mean().repeat(2)
        return Detections(boxes, scores, torch.tensor([0, 1]), torch.ones(2, side, side, dtype=torch.bool))


def losing(change):
    return type("Changed", (Bright,), {"losses": lambda self, *given: change(Bright.losses(self, *given), *given)})()


def finding(change):
    return type("Changed", (Bright,), {"found": lambda self, image: change(Bright.found(self, image))})()


def with_all(change):
    """Both losses changed."""
    return losing(lambda losses, images, _: {name: change(loss, images) for name, loss in losses.items()})


def writes(losses, images, objects):
    with torch.no_grad():
        images += 1e-3
    return losses


def not_frozen():
    network = Bright()
    network.weight.requires_grad_()
    return network


def leaves_gradients_off():
    def detect(self, images):
        torch.set_grad_enabled(False)
        return Bright.detect.__wrapped__(self, images)

    return type("Changed", (Bright,), {"detect": detect})()


def named(**names):
    return type("Changed", (Bright,), names)()


BROKEN = {
    "no classes": (lambda: named(classes=()), "classes must be"),
    "classes in a list": (lambda: named(classes=["light", "lamp"]), "classes must be"),
    "a loss missing": (lambda: losing(lambda losses, *_: {"class": losses["class"]}), "loss_names"),
    "a scalar": (lambda: with_all(lambda loss, _: loss.mean()), "must be"),
    "mean over the batch": (lambda: with_all(lambda loss, _: loss - loss.mean()), "batch"),
    "not finite": (lambda: with_all(lambda loss, _: loss / loss), "finite"),
    "random": (lambda: with_all(lambda loss, _: loss * torch.rand(1)), "another loss"),
    "writes": (lambda: losing(writes), "another loss|writes"),
    "no gradient": (lambda: with_all(lambda loss, _: loss.detach()), "no gradient"),
    "gradient of zero": (lambda: with_all(lambda loss, images: images.mean() * 0 + 1), "must be"),
    "flat": (lambda: with_all(lambda loss, _: loss * 0 + 1), "zero everywhere"),
    "not frozen": (not_frozen, "not frozen"),
    "gradients off": (leaves_gradients_off, "switched off"),
    "box outside": (lambda: finding(lambda found: replace(found, boxes=found.boxes + 1)), "leaves the image"),
    "box as centre and size": (lambda: finding(lambda f: replace(f, boxes=f.boxes.flip(1))), "x1, y1, x2, y2"),
    "one box": (lambda: finding(lambda f: replace(f, boxes=f.boxes[:1])), "boxes must be"),
    "score of a column": (lambda: finding(lambda f: replace(f, scores=f.scores[:, None])), "scores must be"),
    "score above one": (lambda: finding(lambda f: replace(f, scores=f.scores + 1)), "scores must lie"),
    "most confident last": (
        lambda: finding(lambda f: replace(f, scores=torch.tensor([0.1, 0.2]))),
        "sorted by confidence",
    ),
    "labels as floats": (lambda: finding(lambda f: replace(f, labels=f.labels.float())), "whole numbers"),
    "unknown label": (lambda: finding(lambda f: replace(f, labels=f.labels + 1)), "index into classes"),
    "no masks": (lambda: finding(lambda f: replace(f, masks=None)), "masks must be"),
    "soft masks": (lambda: finding(lambda f: replace(f, masks=f.masks.float())), "masks must be"),
    "too many": (
        lambda: finding(lambda f: Detections(*(x.repeat_interleave(60, 0) for x in vars(f).values()))),
        "at most",
    ),
}


@pytest.fixture(autouse=True)
def _gradients():
    yield
    torch.set_grad_enabled(True)


def test_the_embedded_network_passes():
    check_network("")


def test_the_sound_one_passes():
    check_network(Bright())


@pytest.mark.parametrize("kind", BROKEN)
def test_it_is_caught(kind):
    make, message = BROKEN[kind]
    with pytest.raises(AssertionError, match=message):
        check_network(make(), image_size=32)


def test_detections_that_depend_on_the_batch():
    class Batch(Bright):
        @torch.no_grad()
        def detect(self, images):
            return [replace(self.found(image), scores=images.mean().repeat(2)) for image in images]

    with pytest.raises(AssertionError, match="depends on the rest of the batch"):
        check_network(Batch())


def test_something_else():
    with pytest.raises(AssertionError, match="is a Network, not"):
        check_network(Bright)
