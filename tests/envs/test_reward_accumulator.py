import pytest
import torch

from isp_gym.budget import Budget, BudgetExhausted
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.reward_accumulator import RewardAccumulator
from isp_gym.modules import blocks

CONFIG = EnvConfig(image_size=16, num_scenes=6)
NUM_ENVS = 4


@pytest.fixture
def parts():
    transition = CONFIG.make_transition()
    scenes = transition.scenes.batch(range(NUM_ENVS))
    made = {dense: RewardAccumulator(transition, NUM_ENVS, dense, "cpu") for dense in (True, False)}
    for accumulator in made.values():
        accumulator.restart(torch.arange(NUM_ENVS), scenes)
    return transition, scenes, made


def flags(*values):
    return torch.tensor(values, dtype=torch.bool)


def brighter(scenes, gain):
    return scenes.images * gain


def test_rewards_add_up_whatever_changes_when(parts):
    transition, scenes, made = parts
    steps = [(2.0, flags(1, 0, 1, 1)), (3.0, flags(0, 1, 0, 1)), (5.0, flags(1, 1, 0, 0))]
    images, earned = scenes.images, {dense: torch.zeros(NUM_ENVS) for dense in made}
    for number, (gain, changed) in enumerate(steps):
        images = torch.where(changed[:, None, None, None], scenes.images * gain, images)
        ended = torch.full((NUM_ENVS,), number == 2)
        for dense, accumulator in made.items():
            step = accumulator.add(images, scenes, changed, ended)
            earned[dense] += step.rewards
    expected = transition.task.loss(scenes.images, scenes) - transition.task.loss(images, scenes)
    expected -= transition.reward.penalty(images)
    for total in earned.values():
        torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)


def test_only_what_changed_is_scored(parts):
    transition, scenes, made = parts
    made[True].add(brighter(scenes, 2), scenes, flags(1, 0, 0, 1), flags(0, 0, 0, 0))
    assert transition.budget.task_evaluations == 2
    made[True].add(brighter(scenes, 2), scenes, flags(0, 0, 0, 0), flags(1, 1, 1, 1))
    assert transition.budget.task_evaluations == 2


def test_terminal_rewards_score_at_the_end_and_once(parts):
    transition, scenes, made = parts
    accumulator = made[False]
    first = accumulator.add(brighter(scenes, 2), scenes, flags(1, 1, 0, 0), flags(0, 0, 0, 0))
    assert not first.rewards.any()
    assert transition.budget.task_evaluations == 0
    last = accumulator.add(brighter(scenes, 2), scenes, flags(0, 0, 0, 0), flags(1, 0, 1, 0))
    assert transition.budget.task_evaluations == 1  # of 0; image 2 has never changed
    assert last.rewards[[1, 3]].tolist() == [0, 0]


def test_chunks_change_no_number(parts, monkeypatch):
    _, scenes, made = parts
    changed, going_on = flags(1, 0, 1, 1), flags(0, 0, 0, 0)
    whole = made[True].add(brighter(scenes, 2), scenes, changed, going_on)
    made[True].restart(torch.arange(NUM_ENVS), scenes)
    monkeypatch.setattr(blocks, "CHUNK", 1)
    single = made[True].add(brighter(scenes, 2), scenes, changed, going_on)
    torch.testing.assert_close(single.rewards, whole.rewards)


def test_an_exhausted_budget_changes_nothing(parts, monkeypatch):
    transition, scenes, made = parts
    monkeypatch.setattr(blocks, "CHUNK", 1)  # scored one by one, and yet all or none
    transition.budget = Budget(2)
    with pytest.raises(BudgetExhausted):
        made[True].add(brighter(scenes, 2), scenes, flags(1, 0, 1, 1), flags(0, 0, 0, 0))
    assert transition.budget.task_evaluations == 0
    transition.budget = Budget()
    again = made[True].add(brighter(scenes, 2), scenes, flags(1, 0, 1, 1), flags(0, 0, 0, 0))
    assert again.rewards[1] == -again.penalty[1]
    assert (again.loss[[0, 2, 3]] != transition.initial_loss(scenes)[[0, 2, 3]]).all()


def test_what_is_handed_out_is_not_kept(parts):
    _, scenes, made = parts
    step = made[True].add(brighter(scenes, 2), scenes, flags(1, 1, 1, 1), flags(0, 0, 0, 0))
    for tensor in (step.rewards, step.loss, step.penalty):
        tensor.fill_(99)
    again = made[True].add(brighter(scenes, 2), scenes, flags(0, 0, 0, 0), flags(0, 0, 0, 0))
    assert again.rewards.abs().max() < 1e-6
