import pytest
import torch

from isp_gym.budget import Budget, BudgetExhausted
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.ledger import Ledger
from isp_gym.modules import blocks

SETTING = EnvConfig(image_size=16, num_scenes=6)
LANES = 4


@pytest.fixture
def parts():
    transition = SETTING.make_transition()
    scenes = transition.scenes.batch(range(LANES))
    made = {dense: Ledger(transition, LANES, dense, "cpu") for dense in (True, False)}
    for ledger in made.values():
        ledger.begin(torch.arange(LANES), scenes)
    return transition, scenes, made


def flags(*values):
    return torch.tensor(values, dtype=torch.bool)


def brighter(scenes, gain):
    return scenes.images * gain


def test_payments_add_up_whatever_changes_when(parts):
    transition, scenes, made = parts
    steps = [(2.0, flags(1, 0, 1, 1)), (3.0, flags(0, 1, 0, 1)), (5.0, flags(1, 1, 0, 0))]
    images, paid = scenes.images, {dense: torch.zeros(LANES) for dense in made}
    for number, (gain, changed) in enumerate(steps):
        images = torch.where(changed[:, None, None, None], scenes.images * gain, images)
        ended = torch.full((LANES,), number == 2)
        for dense, ledger in made.items():
            payment = ledger.settle(images, scenes, changed, ended)
            paid[dense] += payment.rewards
    expected = transition.task.loss(scenes.images, scenes) - transition.task.loss(images, scenes)
    expected -= transition.reward.penalty(images)
    for total in paid.values():
        torch.testing.assert_close(total, expected, rtol=1e-5, atol=1e-5)


def test_only_what_changed_is_scored(parts):
    transition, scenes, made = parts
    made[True].settle(brighter(scenes, 2), scenes, flags(1, 0, 0, 1), flags(0, 0, 0, 0))
    assert transition.budget.task_evaluations == 2
    made[True].settle(brighter(scenes, 2), scenes, flags(0, 0, 0, 0), flags(1, 1, 1, 1))
    assert transition.budget.task_evaluations == 2


def test_terminal_payments_score_at_the_end_and_once(parts):
    transition, scenes, made = parts
    ledger = made[False]
    first = ledger.settle(brighter(scenes, 2), scenes, flags(1, 1, 0, 0), flags(0, 0, 0, 0))
    assert not first.rewards.any()
    assert transition.budget.task_evaluations == 0
    last = ledger.settle(brighter(scenes, 2), scenes, flags(0, 0, 0, 0), flags(1, 0, 1, 0))
    assert transition.budget.task_evaluations == 1  # lane 0; lane 2 has never changed
    assert last.rewards[[1, 3]].tolist() == [0, 0]


def test_chunks_change_no_number(parts, monkeypatch):
    _, scenes, made = parts
    changed, going_on = flags(1, 0, 1, 1), flags(0, 0, 0, 0)
    whole = made[True].settle(brighter(scenes, 2), scenes, changed, going_on)
    made[True].begin(torch.arange(LANES), scenes)
    monkeypatch.setattr(blocks, "CHUNK", 1)
    single = made[True].settle(brighter(scenes, 2), scenes, changed, going_on)
    torch.testing.assert_close(single.rewards, whole.rewards)


def test_an_exhausted_budget_changes_nothing(parts, monkeypatch):
    transition, scenes, made = parts
    monkeypatch.setattr(blocks, "CHUNK", 1)  # scored one by one, and yet all or none
    transition.budget = Budget(2)
    with pytest.raises(BudgetExhausted):
        made[True].settle(brighter(scenes, 2), scenes, flags(1, 0, 1, 1), flags(0, 0, 0, 0))
    assert transition.budget.task_evaluations == 0
    transition.budget = Budget()
    again = made[True].settle(brighter(scenes, 2), scenes, flags(1, 0, 1, 1), flags(0, 0, 0, 0))
    assert again.rewards[1] == -again.penalty[1]
    assert (again.loss[[0, 2, 3]] != transition.initial_loss(scenes)[[0, 2, 3]]).all()


def test_what_is_paid_out_is_not_kept(parts):
    _, scenes, made = parts
    payment = made[True].settle(brighter(scenes, 2), scenes, flags(1, 1, 1, 1), flags(0, 0, 0, 0))
    for tensor in (payment.rewards, payment.loss, payment.penalty):
        tensor.fill_(99)
    again = made[True].settle(brighter(scenes, 2), scenes, flags(0, 0, 0, 0), flags(0, 0, 0, 0))
    assert again.rewards.abs().max() < 1e-6
