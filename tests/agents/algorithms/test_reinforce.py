import pytest
import torch

from agents.algorithms import advantages, reinforce_loss


class TestAdvantages:
    rewards = torch.tensor([[1.0, 3.0], [10.0, 14.0]])

    def test_none_is_the_reward_itself(self):
        assert torch.equal(advantages(self.rewards, "none"), self.rewards)

    def test_batch_leaves_each_sample_out_of_its_own_baseline(self):
        expected = torch.tensor([[1 - 27 / 3, 3 - 25 / 3], [10 - 18 / 3, 14 - 14 / 3]])
        torch.testing.assert_close(advantages(self.rewards, "batch"), expected)

    def test_image_compares_only_on_the_same_image(self):
        torch.testing.assert_close(advantages(self.rewards, "image"), torch.tensor([[-2.0, 2.0], [-4.0, 4.0]]))

    def test_image_ignores_what_all_sequences_on_an_image_share(self):
        shifted = self.rewards + torch.tensor([[100.0], [-50.0]])
        torch.testing.assert_close(advantages(shifted, "image"), advantages(self.rewards, "image"))


class TestReinforceLoss:
    def test_each_sequence_is_paid_its_own_reward(self):
        log_probs = torch.zeros(3, requires_grad=True)
        reinforce_loss(log_probs, torch.tensor([1.0, 0.0, -2.0])).backward()
        torch.testing.assert_close(log_probs.grad, torch.tensor([-1 / 3, 0.0, 2 / 3]))

    def test_refuses_to_broadcast(self):
        # (B,) times (B, 1) is the published credit bug: every sequence is paid the batch mean.
        with pytest.raises(ValueError, match=r"\(4,\).*\(4, 1\)"):
            reinforce_loss(torch.zeros(4), torch.zeros(4, 1))

    def test_gradient_is_that_of_the_expected_reward(self):
        logits = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
        rewards = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
        (exact,) = torch.autograd.grad(-(logits.softmax(0) * rewards).sum(), logits)
        choices = torch.multinomial(logits.detach().softmax(0), 200_000, replacement=True)
        reinforce_loss(logits.log_softmax(0)[choices], rewards[choices]).backward()
        torch.testing.assert_close(logits.grad, exact, atol=0.02, rtol=0)
