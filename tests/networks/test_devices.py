"""The embedded network on any device, and those of its losses' parts that read no values."""

from isp_gym.networks.embedded.loss import crop, overlaps
from isp_gym.networks.embedded.model import EmbeddedDetector


def test_network(device):
    images = device.rand(2, 3, 64, 64, grad=True)
    output = device.to(EmbeddedDetector(6, widths=(8, 8, 8, 8)))(images)
    assert device.has(*output) and output.boxes.shape == (2, 64, 4)
    sum(part.sum() for part in output[1:]).backward()
    assert device.has(images.grad)


def test_boxes(device):
    one, other = device.rand(5, 4), device.rand(5, 4)
    assert device.has(*overlaps(one, other), crop(one, (8, 8)))
