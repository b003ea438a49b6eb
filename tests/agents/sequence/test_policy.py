import copy
from itertools import permutations

import pytest
import torch

from agents.algorithms import reinforce_loss
from agents.sequence.networks import POLICIES, GRUPolicy, TablePolicy


def every_sequence(modules: int, length: int) -> torch.Tensor:
    """All sequences of different modules up to ``length``, padded with the end token."""
    rows = [list(p) + [modules] * (length - n) for n in range(length + 1) for p in permutations(range(modules), n)]
    return torch.tensor(rows)


@pytest.mark.parametrize("kind", POLICIES)
class TestEveryPolicy:
    def make(self, kind, modules, length):
        policy = POLICIES[kind](modules, length)
        for parameter in policy.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        return policy

    @pytest.mark.parametrize("temperature", [0.2, 1.0, 2.5])
    @pytest.mark.parametrize(("modules", "length"), [(3, 3), (4, 2), (3, 1), (1, 1), (2, 4)])
    def test_probabilities_of_all_sequences_sum_to_one(self, kind, modules, length, temperature):
        policy = self.make(kind, modules, length)
        rows = every_sequence(modules, min(length, modules))
        rows = torch.nn.functional.pad(rows, (0, length - rows.shape[1]), value=modules)
        assert policy.evaluate(rows, temperature).log_probs.exp().sum().item() == pytest.approx(1.0, abs=1e-5)

    def test_sampled_gradient_is_that_of_the_expected_reward(self, kind):
        policy, rows = self.make(kind, 2, 2), every_sequence(2, 2)

        def reward(sequences):
            return sequences[:, 0] - 2.0 * sequences[:, 1]

        weights = list(policy.parameters())
        expected = -(policy.evaluate(rows, 0.7).log_probs.exp() * reward(rows)).sum()
        sampled = policy.sample(20_000, 0.7)
        found = reinforce_loss(sampled.log_probs, reward(sampled.sequences))
        exact, estimate = (torch.autograd.grad(loss, weights) for loss in (expected, found))
        torch.testing.assert_close(estimate, exact, atol=0.05, rtol=0)
        assert max(gradient.abs().max() for gradient in exact) > 0.3


class TestGRUPolicy:
    def test_samples_use_each_module_once_and_stay_ended(self):
        sequences = GRUPolicy(5, 5).sample(200, temperature=2.0).sequences
        assert sequences.shape == (200, 5)
        for row in sequences.tolist():
            used = [token for token in row if token != 5]
            assert len(set(used)) == len(used)
            assert row == used + [5] * (5 - len(used))

    def test_frequencies_follow_the_log_probabilities(self):
        policy = GRUPolicy(2, 2)
        sequences = policy.sample(20_000).sequences
        for sequence, log_prob in zip(
            every_sequence(2, 2), policy.evaluate(every_sequence(2, 2)).log_probs, strict=True
        ):
            share = (sequences == sequence).all(1).float().mean()
            assert share.item() == pytest.approx(log_prob.exp().item(), abs=0.015)

    def test_sampled_log_probabilities_are_those_of_evaluate(self):
        policy = GRUPolicy(6, 6)
        sampled = policy.sample(32, temperature=0.7)
        torch.testing.assert_close(policy.evaluate(sampled.sequences, 0.7).log_probs, sampled.log_probs)

    def test_entropy_estimate_is_unbiased(self):
        policy = GRUPolicy(3, 3)
        log_probs = policy.evaluate(every_sequence(3, 3)).log_probs
        exact = -(log_probs.exp() * log_probs).sum()
        assert policy.sample(20_000).entropies.mean().item() == pytest.approx(exact.item(), abs=0.02)

    def test_greedy_takes_the_likeliest_token_each_step(self):
        policy = GRUPolicy(3, 3)
        with torch.no_grad():
            policy.decoder.weight.zero_()
            policy.decoder.bias.copy_(torch.tensor([1.0, 3.0, -5.0, 0.0]))
        assert policy.greedy().tolist() == [1, 0, 3]

    def test_lower_temperature_is_more_certain(self):
        policy = GRUPolicy(5, 5)
        greedy = policy.greedy()[None]
        assert policy.evaluate(greedy, 0.2).log_probs > policy.evaluate(greedy, 1.0).log_probs

    def test_gradients_are_finite_where_modules_are_masked(self):
        policy = GRUPolicy(3, 3)
        sampled = policy.sample(16, 0.2)
        (sampled.log_probs.sum() + sampled.entropies.sum()).backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in policy.parameters())


def write(policy):
    policy.table[0, 1] = 50.0


def replace(policy):
    policy.table = torch.nn.Parameter(torch.nn.functional.one_hot(torch.tensor([1, 3, 3]), 4) * 50.0)


def load(policy):
    other = TablePolicy(3, 3)
    other.table[0, 1] = 50.0
    policy.load_state_dict(other.state_dict())


def assign(policy):
    other = TablePolicy(3, 3)
    other.table[0, 1] = 50.0
    policy.load_state_dict(other.state_dict(), assign=True)


def flatten(policy):
    torch.nn.utils.vector_to_parameters(torch.tensor([0, 50.0, *[0] * 10]), policy.parameters())


def optimise(foreach):
    def change(policy):
        optimizer = torch.optim.Adam(policy.parameters(), 1.0, foreach=foreach)
        with torch.enable_grad():
            policy.evaluate(torch.tensor([[1, 3, 3]])).log_probs.sum().neg().backward()
        optimizer.step()

    return change


class TestDecodedOnce:
    CHANGES = (write, replace, load, assign, flatten, optimise(False), optimise(True))

    @pytest.mark.parametrize("change", CHANGES)
    def test_again_when_the_parameters_have_changed(self, change):
        policy = TablePolicy(3, 3)
        with torch.no_grad():
            assert policy.greedy()[0] == 0
            change(policy)
        assert policy.greedy()[0] == 1

    def test_not_again_when_they_have_not(self, monkeypatch):
        policy = TablePolicy(3, 3)
        first = policy.greedy()
        monkeypatch.setattr(policy, "_decode", None)
        assert torch.equal(policy.greedy(), first)

    def test_writing_to_it_changes_nothing(self):
        policy = TablePolicy(3, 3)
        policy.greedy().fill_(2)
        assert policy.greedy().tolist() == [0, 1, 2]

    def test_a_copy_decodes_for_itself(self):
        policy = TablePolicy(3, 3)
        policy.greedy()
        copied = copy.deepcopy(policy)
        with torch.no_grad():
            write(copied)
        assert copied.greedy()[0] == 1 and policy.greedy()[0] == 0

    def test_parameters_without_a_version_are_decoded_each_time(self):
        with torch.inference_mode():
            policy = TablePolicy(3, 3)
            policy.greedy()
            write(policy)
            assert policy.greedy()[0] == 1
