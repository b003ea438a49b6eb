import pytest
import torch

from isp_gym.rewards import TerminalReward


def grey(*levels):
    return torch.tensor(levels)[:, None, None, None].expand(-1, 3, 4, 4)


def test_penalty_is_equation_4():
    penalty = TerminalReward().penalty(grey(0.0, 0.004, 0.01, 0.5, 0.9, 1.2, -0.5))
    torch.testing.assert_close(penalty, torch.tensor([10.0, 6.0, 0.0, 0.0, 0.0, 3.0, 510.0]), rtol=1e-5, atol=1e-5)


def test_bounds_and_weights_are_settings():
    reward = TerminalReward(low=0.2, high=0.5, low_weight=2, high_weight=4)
    torch.testing.assert_close(reward.penalty(grey(0.1, 0.3, 0.6)), torch.tensor([0.2, 0.0, 0.4]))


@pytest.mark.parametrize(("level", "sign"), [(0.001, -1), (1.5, 1), (0.5, 0)])
def test_gradient_leads_back_into_the_bounds(level, sign):
    images = grey(level).clone().requires_grad_()
    TerminalReward().penalty(images).sum().backward()
    assert torch.equal(images.grad.sign(), torch.full_like(images, sign))
