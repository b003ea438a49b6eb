import pytest
import torch

from agents import POSISP
from agents.sequence.gru import GRUPolicy
from agents.sequence.learner import SequenceLearner, Trials
from agents.sequence.settings import LearnerSettings
from isp_gym.benchmark import Training
from isp_gym.budget import Budget
from isp_gym.data import recording
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError

FAST = {"batch_size": 32, "sequence_lr": 0.02, "start_temperature": 1.0, "end_temperature": 1.0, "decay": False}
ALGORITHMS = {
    "reinforce": {},
    "plain": {"baseline": "none", "normalise": False, "sequences_per_image": 1},
    "batch": {"baseline": "batch", "normalise": False},
    "ppo": {"algorithm": "ppo", "epochs": 4},
    "grpo": {"algorithm": "grpo", "epochs": 4},
    "grpo-kl": {"algorithm": "grpo", "epochs": 4, "kl": 0.02},
    "entropy": {"entropy_bonus": 0.01},
}
WANTED = torch.tensor([2, 0, 3, 4])


def learn(iterations=120, **options):
    """Learn a toy: an image's brightness plus a point for each token in its place."""
    torch.manual_seed(0)
    settings = LearnerSettings(**{**FAST, **options})
    learner = SequenceLearner(GRUPolicy(4, 4, hidden=16), settings)
    for _ in range(iterations):
        sampled = learner.draw(settings.batch_size, 0.0)
        images = torch.rand(settings.batch_size // settings.sequences_per_image, 1) * 0.2
        points = (sampled.sequences == WANTED).float().mean(1).reshape(-1, settings.sequences_per_image)
        learner.update(sampled, images + points, 0.0)
    return learner


class TestSequenceLearner:
    @pytest.mark.parametrize("options", ALGORITHMS.values(), ids=ALGORITHMS)
    def test_finds_the_good_sequence(self, options):
        assert learn(**options).policy.greedy().tolist() == WANTED.tolist()

    def test_kl_keeps_it_near_the_reference(self):
        def sure(kl):
            learner = learn(30, algorithm="grpo", epochs=2, kl=kl)
            return learner.policy.evaluate(WANTED[None]).log_probs.item()

        assert sure(5.0) < sure(0.0) - 0.5

    def test_a_refreshed_reference_follows(self):
        kept, fresh = learn(4, kl=0.1), learn(4, kl=0.1, reference_every=1)
        distance = [
            (learner.policy.evaluate(WANTED[None]).log_probs - learner.reference.evaluate(WANTED[None]).log_probs).abs()
            for learner in (kept, fresh)
        ]
        assert distance[1] < distance[0]

    def test_entropy_bonus_keeps_it_open(self):
        entropies = [learn(40, entropy_bonus=bonus).policy.sample(256).entropies.mean() for bonus in (0.0, 1.0)]
        assert entropies[1] > entropies[0] + 0.3

    @pytest.mark.parametrize("options", ALGORITHMS.values(), ids=ALGORITHMS)
    def test_all_sequences_empty(self, options):
        learner = SequenceLearner(GRUPolicy(3, 3), LearnerSettings(**options))
        sampled = learner.policy.evaluate(torch.full((8, 3), 3))
        learner.update(sampled, torch.zeros(8, 1).reshape(-1, learner.settings.sequences_per_image), 0.5)
        assert all(p.isfinite().all() for p in learner.policy.parameters())


class TestTrials:
    def test_the_same_sequence_on_the_same_image_is_tried_once(self):
        a, b = [0, 1, 3], [2, 3, 3]
        trials = Trials.of(torch.tensor([a, b, a, a, a, a, a, a]), 4)
        assert sorted(zip(trials.image.tolist(), trials.sequences.tolist(), strict=True)) == [(0, a), (0, b), (1, a)]
        assert trials.share.sum() == 1 and trials.share.max() == 0.5
        earned = trials.image * 10.0 + trials.sequences[:, 0]
        assert earned[trials.of_sample].tolist() == [0, 2, 0, 0, 10, 10, 10, 10]

    def test_a_sure_policy_spends_its_budget_on_more_images(self):
        seen = []
        for logit in (0.0, 50.0):
            spent, budget = [0], Budget(64)
            setting = EnvConfig(num_scenes=64, image_size=16, modules=("exposure", "gamma"))
            training = Training(setting, 0, budget, Spending(budget, spent))
            agent = POSISP(policy="table", sequence_lr=0.0)
            agent.build = lambda *args, logit=logit, agent=agent: build_sure(agent, logit, *args)
            with recording() as log:
                agent.train(training)
            assert 61 <= training.budget.task_evaluations <= 64
            seen.append(log.counts["train"])
        assert spent[2] - spent[1] == 8  # and a batch stays as large
        assert seen[1] > seen[0] * 1.4


class Spending:
    """A recorder of what was spent at each checkpoint."""

    def __init__(self, budget, spent):
        self.budget, self.spent = budget, spent

    def checkpoint(self, agent, learner):
        self.spent.append(self.budget.task_evaluations)

    def resume(self, learner):
        return False

    def log(self, numbers):
        pass


def build_sure(agent, logit, *args):
    POSISP.build(agent, *args)
    with torch.no_grad():
        agent.policy.table[0, 0] = agent.policy.table[1, 1] = logit


class TestSettings:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"policy": "lstm"}, "unknown policy 'lstm'"),
            ({"algorithm": "pppo"}, "did you mean 'ppo'"),
            ({"epochs": 2}, "REINFORCE learns once"),
            ({"algorithm": "grpo", "baseline": "batch"}, "GRPO compares"),
            ({"sequences_per_image": 1}, "at least 2"),
            ({"batch_size": 6}, "no multiple"),
            ({"width": 0}, "width must be at least 1"),
            ({"half_life": 0}, "half_life must be greater than 0"),
            ({"start_temperature": float("nan")}, "start_temperature must be greater than 0"),
            ({"max_grad_norm": -1.0}, "max_grad_norm must be greater than 0"),
            ({"params_lr": -1e-3}, "params_lr must be finite and at least 0"),
            ({"sequence_lr": float("inf")}, "sequence_lr must be finite and at least 0"),
            (
                {"baseline": "batch", "batch_size": 1, "sequences_per_image": 1, "normalise": False},
                "batch_size of at least 2",
            ),
        ],
    )
    def test_faults_are_named(self, options, message):
        with pytest.raises(UserError, match=message):
            LearnerSettings(**options)

    @pytest.mark.parametrize(("ratio", "pattern"), [(1, "sp sp"), (3, "sppp sppp")])
    def test_update_ratio(self, ratio, pattern):
        settings = LearnerSettings(update="alternate", params_updates=ratio)
        turns = [settings.trains(i) for i in range(2 * (ratio + 1))]
        assert turns == [(c == "s", c == "p") for c in pattern.replace(" ", "")]
