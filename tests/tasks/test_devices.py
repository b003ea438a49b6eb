"""Tasks' losses on any device; a detector's reads which points lie near an object, and so cannot run without values."""

import pytest

from isp_gym.data import SceneBatch
from isp_gym.tasks import get_task


@pytest.mark.parametrize("loss", ["mse", "l1", "ssim"])
def test_enhancement(device, loss):
    images = device.rand(2, 3, 16, 16, grad=True)
    scenes = SceneBatch(device.rand(2, 3, 16, 16), device.rand(2, 3, 16, 16), ("train/0", "train/1"), (0, 1))
    losses = get_task("enhancement", {"loss": loss}).loss(images, scenes)
    assert losses.shape == (2,) and device.has(losses)
    losses.sum().backward()
    assert device.has(images.grad)
