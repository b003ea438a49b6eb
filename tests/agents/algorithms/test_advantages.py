import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.algorithms import advantages

numbers = st.floats(-5, 5)


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

    def test_a_lone_sequence_is_neither_better_nor_worse(self):
        assert advantages(torch.tensor([[3.0]]), "batch").tolist() == [[0.0]]

    def test_normalised_they_do_not_depend_on_scale(self):
        scaled = self.rewards * torch.tensor([[100.0], [0.01]])
        expected = advantages(self.rewards, "image", normalize=True)
        torch.testing.assert_close(advantages(scaled, "image", normalize=True), expected, atol=1e-3, rtol=0)

    @settings(deadline=None)
    @given(st.lists(numbers, min_size=2, max_size=6))
    def test_normalised_on_an_image_they_are_those_of_grpo_up_to_a_factor(self, rewards):
        row = torch.tensor([rewards], dtype=torch.float64)
        grpo = (row - row.mean()) / (row.std() + 1e-6)
        factor = len(rewards) / (len(rewards) - 1)
        torch.testing.assert_close(advantages(row, "image", normalize=True), grpo * factor)

    def test_nothing_to_learn_where_all_earn_the_same(self):
        assert not advantages(torch.full((2, 4), 0.3), "image", normalize=True).abs().max() > 1e-6
