"""Random search samples what the rules allow, as often as it should, and goes on where it was interrupted."""

import contextlib
from collections import Counter

import pytest
import torch

from baselines import RandomSearch
from baselines.random_search import sample_pipeline
from isp_gym.benchmark import Training, load_agent
from isp_gym.budget import Budget
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.modules import get_bank
from isp_gym.pipelines import Rules
from isp_gym.testing.interruption import Interrupted, MemoryRecorder

BANK = get_bank("stable")


class TestSamplePipeline:
    def test_without_repeats_every_order_is_equally_likely(self):
        rules = Rules(get_bank("stable", ("exposure", "gamma", "contrast")), 2)
        counts = Counter(sample_pipeline(rules).names(0) for _ in range(3000))
        shares = {0: 1 / 3, 1: 1 / 9, 2: 1 / 18}
        assert len(counts) == 1 + 3 + 6
        assert all(count / 3000 == pytest.approx(shares[len(names)], abs=0.03) for names, count in counts.items())

    def test_with_repeats_modules_come_again_with_parameters_of_their_own(self):
        rules = Rules(get_bank("stable", ("exposure",)), 3, repeats=True)
        sampled = [sample_pipeline(rules) for _ in range(50)]
        assert {len(pipelines.names(0)) for pipelines in sampled} == {0, 1, 2, 3}
        longest = next(pipelines for pipelines in sampled if len(pipelines.names(0)) == 3)
        assert len({tuple(step) for step in longest.steps(0)}) == 3

    def test_with_an_order_nothing_is_refused(self):
        rules = Rules(BANK, BANK.num_modules, domain_constrained=True)
        for _ in range(100):
            pipelines = sample_pipeline(rules)
            assert int(rules.admit(pipelines.tokens, pipelines.params).refused) == 0

    def test_longer_than_the_bank(self):
        rules = Rules(get_bank("stable", ("exposure", "gamma")), 5)
        assert max(len(sample_pipeline(rules).names(0)) for _ in range(50)) == 2


class TestOptions:
    @pytest.mark.parametrize("value", [2.9, 0, -1, "many", float("nan"), float("inf"), None])
    def test_no_positive_integer(self, value):
        with pytest.raises(UserError, match=r"^random: scenes_per_candidate must be a positive integer, not [^\n]*$"):
            load_agent("random", {"scenes_per_candidate": value})

    @pytest.mark.parametrize("value", [16, 16.0, "16"])
    def test_a_positive_integer(self, value):
        assert RandomSearch(value).scenes_per_candidate == 16


def test_a_budget_of_nothing_leaves_the_input_as_it_is():
    agent, images = RandomSearch(), torch.rand(2, 3, 16, 16)
    agent.train(Training(EnvConfig(num_scenes=4, image_size=16), 0, Budget(0)))
    assert torch.equal(agent.pipelines(images)(images), images)


def train(seed=0, **recording):
    torch.manual_seed(seed)
    budget = Budget(100)
    recorder, agent = MemoryRecorder(budget, **recording), RandomSearch(4)
    with contextlib.suppress(Interrupted):
        agent.train(Training(EnvConfig(num_scenes=4, image_size=16), 0, budget, recorder))
    return agent, recorder


def test_an_interrupted_search_ends_with_the_same_pipeline():
    unbroken, whole = train()
    best_at = max(range(len(whole.numbers)), key=lambda i: whole.numbers[i]["charts/episodic_return"])
    assert best_at == len(whole.numbers) - 1 and whole.checkpoints == 25
    for stop_at in (1, 20):
        _, first = train(stop_at=stop_at)
        resumed, last = train(seed=9, saved=first.saved)
        assert resumed.state() == unbroken.state() and resumed.best_reward == unbroken.best_reward
        assert first.numbers + last.numbers == whole.numbers
