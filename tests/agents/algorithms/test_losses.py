from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.algorithms import advantages, clipped_loss, kl_estimate, reinforce_loss

numbers = st.floats(-5, 5)


class TestReinforceLoss:
    def test_each_action_is_credited_with_its_own_reward(self):
        log_probs = torch.zeros(3, requires_grad=True)
        reinforce_loss(log_probs, torch.tensor([1.0, 0.0, -2.0])).backward()
        torch.testing.assert_close(log_probs.grad, torch.tensor([-1 / 3, 0.0, 2 / 3]))

    def test_refuses_to_broadcast(self):
        # (B,) times (B, 1) is the published credit bug: every sequence is credited with the batch mean.
        with pytest.raises(ValueError, match=r"\(4,\).*\(4, 1\)"):
            reinforce_loss(torch.zeros(4), torch.zeros(4, 1))

    @settings(max_examples=10, deadline=None)
    @given(st.lists(numbers, min_size=3, max_size=3), st.lists(numbers, min_size=6, max_size=6))
    @pytest.mark.parametrize(
        ("baseline", "images", "group"), [("none", 1, 1), ("batch", 2, 1), ("image", 1, 3), ("image", 2, 2)]
    )
    def test_expected_gradient_is_that_of_the_expected_reward(self, baseline, images, group, logits, rewards):
        """No sampling: all batches that three actions can make, each with its probability."""
        logits = torch.tensor(logits, dtype=torch.float64, requires_grad=True)
        rewards = torch.tensor(rewards, dtype=torch.float64).reshape(2, 3)[:images]
        (exact,) = torch.autograd.grad(-(logits.softmax(0) * rewards).sum(1).mean(), logits)
        log_p, total = logits.log_softmax(0), 0.0
        for batch in product(range(3), repeat=images * group):
            actions = torch.tensor(batch)
            gain = advantages(rewards.gather(1, actions.reshape(images, group)), baseline).flatten()
            probability = log_p.detach()[actions].sum().exp()
            total = total + probability * reinforce_loss(log_p[actions], gain)
        torch.testing.assert_close(torch.autograd.grad(total, logits)[0], exact, atol=1e-9, rtol=1e-6)


class TestClippedLoss:
    def test_starts_with_the_gradient_of_reinforce(self):
        advantage = torch.tensor([1.0, -2.0, 0.5])
        gradients = []
        for loss in (lambda x: clipped_loss(x, x.detach(), advantage, 0.2), lambda x: reinforce_loss(x, advantage)):
            log_probs = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
            gradients.append(torch.autograd.grad(loss(log_probs), log_probs)[0])
        torch.testing.assert_close(*gradients)

    @pytest.mark.parametrize(
        ("log_ratio", "advantage", "moves"),
        [(0.5, 1.0, False), (0.5, -1.0, True), (-0.5, 1.0, True), (-0.5, -1.0, False), (0.1, 1.0, True)],
    )
    def test_no_gradient_where_the_ratio_went_too_far(self, log_ratio, advantage, moves):
        log_probs = torch.tensor([log_ratio], requires_grad=True)
        clipped_loss(log_probs, torch.zeros(1), torch.tensor([advantage]), 0.2).backward()
        assert bool(log_probs.grad) == moves

    def test_shapes_that_would_broadcast_are_refused(self):
        with pytest.raises(ValueError, match="must match"):
            clipped_loss(torch.zeros(4), torch.zeros(4), torch.zeros(4, 1), 0.2)


class TestKL:
    def test_is_unbiased_and_never_negative(self):
        p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
        exact = (p * (p / q).log()).sum()
        samples = torch.multinomial(p, 100_000, replacement=True)
        estimate = kl_estimate(p.log()[samples], q.log()[samples])
        assert estimate.item() == pytest.approx(exact.item(), abs=0.02)
        assert kl_estimate(p.log(), p.log()) == 0

    @settings(deadline=None)
    @given(st.lists(st.floats(-20, 0), min_size=1, max_size=4), st.floats(-1e-3, 1e-3))
    def test_is_never_negative_however_close_the_two(self, log_probs, shift):
        now = torch.tensor(log_probs)
        assert kl_estimate(now, now + shift) >= 0
        assert kl_estimate(now, now.flip(0)) >= 0
