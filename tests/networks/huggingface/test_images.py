import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from isp_gym.networks.huggingface.images import Preparation

SIDE = 48
PROCESSORS = {
    "square": ("RTDetr", {"size": {"height": 64, "width": 64}}, (64, 64)),
    "not square": ("RTDetr", {"size": {"height": 64, "width": 96}, "do_normalize": True}, (64, 96)),
    "smaller": ("RTDetr", {"size": {"height": 32, "width": 32}}, (32, 32)),
    "shortest edge": ("Detr", {"size": {"shortest_edge": 60, "longest_edge": 100}}, (60, 60)),
    "longest edge": ("Detr", {"size": {"shortest_edge": 60, "longest_edge": 40}}, (40, 40)),
    "padded": (
        "Detr",
        {"size": {"shortest_edge": 60, "longest_edge": 100}, "pad_size": {"height": 90, "width": 90}},
        (60, 60),
    ),
    "of the old kind": ("Detr", {"size": 60, "max_size": 100}, (60, 60)),
    "a multiple of 16": ("Yolos", {"size": {"shortest_edge": 70, "longest_edge": 100}}, (64, 64)),
    "a multiple of 32": ("Mask2Former", {"size": {"shortest_edge": 60, "longest_edge": 100}}, (64, 64)),
    "not rescaled": ("RTDetr", {"size": {"height": 64, "width": 64}, "do_rescale": False}, (64, 64)),
    "other statistics": (
        "Detr",
        {"size": {"shortest_edge": 48, "longest_edge": 48}, "image_mean": [0.5] * 3, "image_std": [0.1, 0.2, 0.3]},
        (48, 48),
    ),
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_makes_of_images_what_the_processor_makes(name):
    kind, options, size = PROCESSORS[name]
    processor = getattr(transformers, f"{kind}ImageProcessor")(**options)
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    images = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    (expected,) = processor([Image.fromarray(pixels)], return_tensors="pt")["pixel_values"]
    (found,) = Preparation(processor)(images)
    assert found.shape == (3, *size)
    # The processor rounds resized images to whole numbers of 255.
    step = (Preparation(processor)(images / 255 + 1 / 255) - Preparation(processor)(images / 255)).abs().max()
    assert (found - expected[:, : size[0], : size[1]]).abs().max() < 1.01 * step


def test_without_resizing_sides_are_rounded_up_to_a_multiple_of_32():
    prepare = Preparation(transformers.RTDetrImageProcessor(do_resize=False))
    assert prepare(torch.rand(2, 3, 50, 50)).shape == (2, 3, 64, 64)
    images = torch.rand(2, 3, 96, 96)
    torch.testing.assert_close(prepare(images), images)


def test_gradients_flow_through():
    prepare = Preparation(transformers.DetrImageProcessor(size={"shortest_edge": 24, "longest_edge": 24}))
    corner = torch.rand(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda corner: prepare(corner.repeat(1, 1, 16, 16)), corner)
