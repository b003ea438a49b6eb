"""POS-ISP's networks and their losses on any device."""

import pytest
import torch

from agents import POSISP
from agents.algorithms import BASELINES, advantages, clipped_loss, kl_estimate, reinforce_loss
from agents.sequence.networks import POLICIES, ParameterPredictor, order_matrix
from isp_gym.modules import get_bank
from isp_gym.pipelines import Rules

SEQUENCES = torch.tensor([[2, 0, 3], [3, 3, 3], [1, 3, 3]])


@pytest.mark.parametrize("kind", POLICIES)
class TestPolicy:
    def test_evaluate(self, device, kind):
        policy = device.to(POLICIES[kind](3, 3))
        sampled = policy.evaluate(device.to(SEQUENCES), 0.7)
        assert device.has(*sampled) and sampled.log_probs.shape == sampled.entropies.shape == (3,)
        (sampled.log_probs + sampled.entropies).sum().backward()
        assert device.has(*(p.grad for p in policy.parameters() if p.grad is not None))

    def test_greedy(self, device, kind):
        assert device.has(device.to(POLICIES[kind](3, 3)).greedy())


class TestPredictor:
    @pytest.mark.parametrize("condition_on", [0, 3])
    def test_pretanh(self, device, condition_on):
        predictor = device.to(ParameterPredictor(9, torch.rand(9), width=4, condition_on=condition_on))
        images, rows = device.rand(2, 3, 40, 30, grad=True), device.to(torch.tensor([0, 1, 1]))
        pretanh = predictor.pretanh(images, device.to(SEQUENCES), rows)
        assert pretanh.shape == (3, 9) and device.has(pretanh)
        pretanh.sum().backward()
        assert device.has(images.grad)

    def test_order_matrix(self, device):
        assert device.has(order_matrix(device.to(SEQUENCES), 3))


@pytest.mark.parametrize("condition", [False, True])
@pytest.mark.parametrize("typed_order", [False, True])
def test_networks(device, condition, typed_order):
    agent = POSISP(width=4, condition=condition)
    agent.build(Rules(get_bank("stable"), 4, typed_order))
    agent.policy, agent.predictor = device.to(agent.policy), device.to(agent.predictor)
    images = device.rand(2, 3, 32, 32)
    sequences = device.to(torch.tensor([[0, 1, 10, 10]] * 2))
    assert device.has(agent.policy.evaluate(sequences).log_probs, agent.predictor(images, sequences))


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("normalize", [False, True])
def test_advantages(device, baseline, normalize):
    assert device.has(advantages(device.rand(3, 4), baseline, normalize))


def test_losses(device):
    one, other, advantage = device.rand(4), device.rand(4), device.rand(4)
    assert device.has(clipped_loss(one, other, advantage, 0.2), kl_estimate(one, other), reinforce_loss(one, advantage))
