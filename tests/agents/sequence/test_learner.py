import ast
import inspect
import re
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from agents import POSISP
from agents.sequence.learner import SequenceLearner, UniqueRollouts
from agents.sequence.networks import GRUPolicy, ParameterPredictor
from agents.sequence.settings import LearnerSettings
from isp_gym.benchmark import Training
from isp_gym.budget import Budget
from isp_gym.data import recording
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError

FAST = {"batch_size": 32, "sequence_learning_rate": 0.02}
ALGORITHMS = {
    "reinforce": {},
    "plain": {"baseline": "none", "normalize_advantage": False, "sequences_per_image": 1},
    "batch": {"baseline": "batch", "normalize_advantage": False},
    "ppo": {"algorithm": "ppo", "n_epochs": 4},
    "grpo": {"algorithm": "grpo", "n_epochs": 4},
    "grpo-kl": {"algorithm": "grpo", "n_epochs": 4, "kl_coef": 0.02},
    "entropy": {"ent_coef": 0.01},
}
DOCS = Path(__file__).parents[3] / "docs" / "posisp.md"
WANTED = torch.tensor([2, 0, 3, 4])


def make(policy, **options):
    """A learner whose sequence policy can be updated by itself."""
    training = Training(EnvConfig(num_scenes=1, image_size=16), 0, Budget(0))
    return SequenceLearner(policy, ParameterPredictor(1, width=1), training, LearnerSettings(**options))


def learn(iterations=120, **options):
    """Learn a toy: an image's brightness plus a point for each token in its place."""
    torch.manual_seed(0)
    learner = make(GRUPolicy(4, 4, hidden=16), **{**FAST, **options})
    group = learner.settings.sequences_per_image
    for _ in range(iterations):
        sampled = learner.policy.sample(learner.settings.batch_size)
        images = torch.rand(len(sampled.sequences) // group, 1) * 0.2
        points = (sampled.sequences == WANTED).float().mean(1).reshape(-1, group)
        learner.update_sequence(sampled, images + points, temperature=1.0)
    return learner


class TestSequenceLearner:
    @pytest.mark.parametrize("options", ALGORITHMS.values(), ids=ALGORITHMS)
    def test_finds_the_good_sequence(self, options):
        assert learn(**options).policy.greedy().tolist() == WANTED.tolist()

    def test_kl_keeps_it_near_the_reference(self):
        def log_prob(kl_coef):
            learner = learn(30, algorithm="grpo", n_epochs=2, kl_coef=kl_coef)
            return learner.policy.evaluate(WANTED[None]).log_probs.item()

        assert log_prob(5.0) < log_prob(0.0) - 0.5

    def test_a_refreshed_reference_follows(self):
        kept, fresh = learn(4, kl_coef=0.1), learn(4, kl_coef=0.1, reference_update_interval=1)
        distance = [
            (learner.policy.evaluate(WANTED[None]).log_probs - learner.reference.evaluate(WANTED[None]).log_probs).abs()
            for learner in (kept, fresh)
        ]
        assert distance[1] < distance[0]

    def test_the_entropy_bonus_keeps_it_open(self):
        entropies = [learn(40, ent_coef=bonus).policy.sample(256).entropies.mean() for bonus in (0.0, 1.0)]
        assert entropies[1] > entropies[0] + 0.3

    @pytest.mark.parametrize("options", ALGORITHMS.values(), ids=ALGORITHMS)
    def test_all_sequences_empty(self, options):
        learner = make(GRUPolicy(3, 3), **options)
        sampled = learner.policy.evaluate(torch.full((8, 3), 3))
        learner.update_sequence(sampled, torch.zeros(8, 1).reshape(-1, learner.settings.sequences_per_image), 1.0)
        assert all(p.isfinite().all() for p in learner.policy.parameters())


class TestUniqueRollouts:
    def test_the_same_sequence_on_the_same_image_runs_once(self):
        a, b = [0, 1, 3], [2, 3, 3]
        unique = UniqueRollouts.of(torch.tensor([a, b, a, a, a, a, a, a]), 4)
        assert sorted(zip(unique.image.tolist(), unique.sequences.tolist(), strict=True)) == [(0, a), (0, b), (1, a)]
        assert unique.weight.sum() == 1 and unique.weight.max() == 0.5
        earned = unique.image * 10.0 + unique.sequences[:, 0]
        assert earned[unique.inverse].tolist() == [0, 2, 0, 0, 10, 10, 10, 10]

    def test_a_converged_policy_spends_its_budget_on_more_images(self):
        seen = []
        for logit in (0.0, 50.0):
            spent, budget = [0], Budget(64)
            setting = EnvConfig(num_scenes=64, image_size=16, modules=("exposure", "gamma"))
            training = Training(setting, 0, budget, Spending(budget, spent))
            agent = POSISP(policy="table", sequence_learning_rate=0.0)
            agent.build = lambda *args, logit=logit, agent=agent: build_at(agent, logit, *args)
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


def build_at(agent, logit, *args):
    POSISP.build(agent, *args)
    with torch.no_grad():
        agent.policy.table[0, 0] = agent.policy.table[1, 1] = logit


RENAMED = {
    **{"sequence_lr": "sequence_learning_rate", "params_lr": "params_learning_rate", "normalise": None},
    **{"epochs": "n_epochs", "clip": None, "kl": None, "entropy_bonus": None, "decay": None, "score_penalty": None},
    **{"reference_every": "reference_update_interval", "neutral_start": None, "half_life": "temperature_half_life"},
}


class TestSettings:
    @pytest.mark.parametrize(("option", "nearest"), RENAMED.items(), ids=RENAMED)
    def test_names_of_old_are_refused(self, option, nearest):
        hint = f"; did you mean '{nearest}'" if nearest else ".*known: "
        with pytest.raises(UserError, match=f"^unknown posisp option '{option}'{hint}"):
            POSISP(**{option: 1})

    def test_each_has_a_line_here_and_in_the_docs(self):
        (settings,) = (node for node in ast.parse(inspect.getsource(LearnerSettings)).body)
        for field, line in pairwise(settings.body[1:]):
            if isinstance(field, ast.AnnAssign):
                assert isinstance(line, ast.Expr) and "\n" not in line.value.value, f"{field.target.id} has no line"
        documented = re.findall(r"^\| `(\w+)` \| ", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
        assert documented == [field.name for field in fields(LearnerSettings)]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"policy": "lstm"}, "unknown policy 'lstm'"),
            ({"algorithm": "pppo"}, "did you mean 'ppo'"),
            ({"n_epochs": 2}, "REINFORCE learns once"),
            ({"algorithm": "grpo", "baseline": "batch"}, "grpo needs baseline=image"),
            ({"sequences_per_image": 1}, "at least 2"),
            ({"batch_size": 6}, "batch_size 6 is no multiple of sequences_per_image 4"),
            ({"width": 0}, "width must be at least 1"),
            ({"temperature_half_life": 0}, "temperature_half_life must be greater than 0"),
            ({"start_temperature": float("nan")}, "start_temperature must be greater than 0"),
            ({"max_grad_norm": -1.0}, "max_grad_norm must be greater than 0"),
            ({"params_learning_rate": -1e-3}, "params_learning_rate must be finite and at least 0"),
            ({"sequence_learning_rate": float("inf")}, "sequence_learning_rate must be finite and at least 0"),
            (
                {"baseline": "batch", "batch_size": 1, "sequences_per_image": 1, "normalize_advantage": False},
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
        trained = [settings.trains(i) for i in range(2 * (ratio + 1))]
        assert trained == [(c == "s", c == "p") for c in pattern.replace(" ", "")]
