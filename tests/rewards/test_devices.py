"""Rewards on any device."""

import pytest

from isp_gym.data import SceneBatch
from isp_gym.rewards import REWARDS, Frame, Objective, TerminalReward
from isp_gym.tasks import get_task


def scenes(device, count=3, size=20):
    images, targets = device.rand(count, 3, size, size), device.rand(count, 3, size, size)
    return SceneBatch(images, targets, tuple(f"train/{i}" for i in range(count)), tuple(range(count)))


@pytest.mark.parametrize("name", REWARDS)
@pytest.mark.parametrize("size", [20, 2])
def test_each_term(device, name, size):
    images, batch = device.rand(3, 3, size, size, grad=True), scenes(device, size=size)
    score = REWARDS[name].map(Frame(images), Frame(batch.images), batch)
    assert device.has(score) and score.expand(3, size, size).shape == (3, size, size)
    score.sum().backward()
    assert device.has(images.grad)


def test_all_terms_together(device):
    objective, batch = Objective(get_task("enhancement"), dict.fromkeys(REWARDS, 0.5)), scenes(device)
    loss = objective.loss(device.rand(3, 3, 20, 20), batch)
    assert loss.shape == (3,) and device.has(loss)


def test_penalty(device):
    images = device.rand(3, 3, 8, 8, grad=True)
    penalty = TerminalReward().penalty(images)
    assert penalty.shape == (3,) and device.has(penalty)
    penalty.sum().backward()
    assert device.has(images.grad)
