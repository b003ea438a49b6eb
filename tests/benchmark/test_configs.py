"""The experiments in configs/ run, made small."""

from pathlib import Path

import pytest

from agents import POSISP
from agents.sequence.learner import SequenceLearner
from agents.sequence.policy import SequencePolicy
from isp_gym.benchmark import Training
from isp_gym.benchmark.config import load_config
from isp_gym.benchmark.plan import plans_of
from isp_gym.benchmark.run import run
from isp_gym.budget import Budget

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
SMALL = ["image_size=36", "scenes={train: 8, validation: 1, test: 1}", "budget=16", "pictures=1", "curve_points=1"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
class TestConfigs:
    def test_is_sound_as_it_stands(self, path):
        assert load_config(path).agents

    def test_every_agent_runs(self, path, tmp_path):
        config = load_config(path, SMALL, num_seeds=1)
        for plan in plans_of(config, dict.fromkeys(config.problems)):
            row = run(plan, tmp_path / plan.agent)
            assert row["agent"] == plan.agent and row["task_evaluations"] <= 16 and row["ended"] in ("agent", "budget")


def posisp(path, *changes):
    config = load_config(next(p for p in CONFIGS if p.stem == path), changes)
    (problem,) = config.problems.values()
    return problem, POSISP(**config.agents["posisp"])


def test_ours_are_the_defaults():
    assert posisp("posisp")[1].settings == POSISP().settings


class TestThePaper:
    def test_numbers(self):
        problem, agent = posisp("posisp-paper")
        reward, settings = problem.setting("train").make_reward(), agent.settings
        assert (problem.env.image_size, problem.env.bank, problem.budget) == (512, "reference", 15_000 * 8)
        assert (reward.low, reward.high, reward.low_weight, reward.high_weight) == (0.01, 0.9, 1000, 10)
        assert (settings.batch_size, settings.params_learning_rate, settings.sequence_learning_rate) == (8, 1e-4, 3e-5)
        agent.build(problem.env.rules)
        training = Training(problem.setting("train"), 0, Budget(0))
        learner = SequenceLearner(agent.policy, agent.predictor, training, settings)
        assert learner.sequence_optimizer.defaults["betas"] == learner.params_optimizer.defaults["betas"] == (0.9, 0.99)

    def test_temperature_of_every_iteration(self, monkeypatch):
        """Of a training of 30 iterations, hence with a half-life of 6 in place of 3,000 of 15,000."""
        problem, agent = posisp("posisp-paper", *SMALL, "budget=240")
        sampled = []
        sample = SequencePolicy.sample

        def recorded(policy, count, temperature):
            sampled.append((count, temperature))
            return sample(policy, count, temperature)

        monkeypatch.setattr(SequencePolicy, "sample", recorded)
        agent.train(Training(problem.setting("train"), 0, Budget(problem.budget)))
        assert sampled == [(8, pytest.approx(0.2 + 2.3 * 2 ** (-i / 6))) for i in range(30)]
