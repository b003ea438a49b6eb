"""A training that was interrupted ends with the same numbers, to the bit, as one that was not."""

import contextlib
import copy
import random

import numpy as np
import pytest
import torch

from agents import POSISP
from agents.sequence.learner import SequenceLearner
from isp_gym.benchmark import Training
from isp_gym.budget import Budget
from isp_gym.envs.config import EnvConfig
from isp_gym.testing.interruption import Interrupted, MemoryRecorder

SMALL = EnvConfig(num_scenes=12, image_size=16, modules=("exposure", "gamma", "desaturation"))
ALGORITHMS = {
    "reinforce": {},
    "batch": {"baseline": "batch", "normalize_advantage": False},
    "ppo": {"algorithm": "ppo", "n_epochs": 2},
    "grpo": {"algorithm": "grpo", "n_epochs": 2, "kl_coef": 0.1, "reference_update_interval": 3},
}


def train(options, setting=SMALL, budget=48, seed=0, **recording):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    spent = Budget(budget)
    recorder = MemoryRecorder(spent, **recording)
    agent = POSISP(**options)
    with contextlib.suppress(Interrupted):
        agent.train(Training(setting, 7, spent, recorder))
    return agent, recorder


def check_resumes_exactly(options, setting=SMALL):
    unbroken, whole = train(options, setting)
    assert whole.checkpoints >= 4
    _, first = train(options, setting, stop_at=2)
    _, second = train(options, setting, seed=99, saved=first.saved, stop_at=1)
    resumed, last = train(options, setting, seed=98, saved=second.saved)
    expected, found = unbroken.state(), resumed.state()
    assert all(torch.equal(expected[key], found[key]) for key in expected if isinstance(expected[key], torch.Tensor))
    assert last.budget.spent == whole.budget.spent
    assert first.numbers + second.numbers + last.numbers == whole.numbers


@pytest.mark.parametrize("update", ["joint", "alternate"])
@pytest.mark.parametrize("policy", ["gru", "table", "markov"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_learners(algorithm, policy, update):
    check_resumes_exactly({**ALGORITHMS[algorithm], "policy": policy, "update": update, "width": 4})


@pytest.mark.parametrize(
    "setting",
    [
        EnvConfig(num_scenes=12, image_size=16, order="typed", max_length=4),
        EnvConfig(num_scenes=12, image_size=16, modules=("exposure", "gamma"), max_length=3, repeats=True),
        EnvConfig(num_scenes=6, image_size=32, task="detection", modules=("exposure", "gamma")),
    ],
    ids=["typed", "repeats", "detection"],
)
def test_problems(setting):
    check_resumes_exactly({"condition": True, "width": 4}, setting)


@pytest.mark.parametrize(
    ("options", "further"), [({}, ()), (ALGORITHMS["ppo"], ("approx_kl",))], ids=["reinforce", "ppo"]
)
def test_numbers_are_logged(options, further):
    _, recorder = train(options)
    assert len(recorder.numbers) == recorder.checkpoints
    losses = {f"losses/{name}" for name in ("task_loss", "params_loss", "policy_loss", "entropy", *further)}
    names = {*losses, "charts/episodic_return", "charts/unique_rollouts"}
    assert all(numbers.keys() == names for numbers in recorder.numbers)


def test_the_schedule_comes_from_the_interrupted_training():
    def learner(budget):
        agent, training = POSISP(width=4), Training(SMALL, 7, Budget(budget))
        agent.build(training.rules)
        return SequenceLearner(agent.policy, agent.predictor, training, agent.settings)

    first, second = learner(48), learner(24)
    first.iterate()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.total == 48
