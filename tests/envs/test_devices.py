"""Tone curves and scene batches on any device."""

import torch

from isp_gym.data import SceneBatch
from isp_gym.modules.curves import apply_curves, physical_curves


def test_curves(device):
    images, curves = device.rand(2, 3, 8, 9, grad=True), device.rand(2, 3, 8, 9, grad=True)
    output = apply_curves(images, curves)
    assert output.shape == images.shape and device.has(output, physical_curves(curves))
    output.sum().backward()
    assert device.has(images.grad, curves.grad)


def test_rows_of_a_batch(device):
    scenes = SceneBatch(device.rand(3, 3, 8, 8), device.rand(3, 3, 8, 8), ("train/0", "train/1", "train/2"), (0, 1, 2))
    some = scenes.rows(torch.tensor([2, 0]))
    assert some.ids == ("train/2", "train/0") and device.has(some.images, some.targets)
    changed = scenes.replace_rows(torch.tensor([1, 0]), some)
    assert changed.ids == ("train/0", "train/2", "train/2") and device.has(changed.images, changed.targets)
