import copy
import pickle

import pytest
import torch

from isp_gym.budget import Budget, BudgetExhausted, Spent
from isp_gym.data import load_scenes
from isp_gym.errors import UserError
from isp_gym.rewards import Objective
from isp_gym.tasks import Enhancement, MeteredTask, Segmentation
from isp_gym.testing import check_task

SCENES = load_scenes(count=3, image_size=16)
BATCH = SCENES.batch(range(3))


def metered(task=None, limit=None):
    return MeteredTask(task or Enhancement(), Budget(limit))


def test_it_is_a_task():
    check_task(metered())


def test_scores_are_those_of_the_task_and_counted():
    task, plain = metered(Objective(Enhancement(), {"fidelity": 1.0})), Objective(Enhancement(), {"fidelity": 1.0})
    images = BATCH.images.clone().requires_grad_()
    assert torch.equal(task.loss(BATCH.images, BATCH), plain.loss(BATCH.images, BATCH))
    assert task.budget.spent == Spent(3)
    assert torch.equal(task.loss_map(images, BATCH), plain.loss_map(images, BATCH))
    assert task.budget.spent == Spent(6, 3)
    metric, expected = task.metric(), plain.metric()
    metrics = metric.update(BATCH.images, BATCH)
    assert all(torch.equal(metrics[name], value) for name, value in expected.update(BATCH.images, BATCH).items())
    assert metric.compute() == expected.compute()
    assert task.budget.spent == Spent(9, 3)


@pytest.mark.parametrize("score", ["loss", "loss_map", "metric"])
def test_nothing_is_scored_beyond_the_limit(score):
    task, scored = metered(Objective(Enhancement(), {"fidelity": 1.0}), limit=2), []
    task.unmetered.loss = task.unmetered.loss_map = lambda *_: scored.append("loss")
    task.unmetered._task.metric = lambda: type("M", (), {"update": lambda *_: scored.append("metric")})()
    with pytest.raises(BudgetExhausted):
        (task.metric().update if score == "metric" else getattr(task, score))(BATCH.images, BATCH)
    assert (scored, task.budget.spent) == ([], Spent())


def test_another_budget_counts_from_then_on():
    task = metered()
    metric, first = task.metric(), task.budget
    task.budget = Budget()
    task.loss(BATCH.images, BATCH)
    metric.update(BATCH.images, BATCH)
    assert (first.task_evaluations, task.budget.task_evaluations) == (0, 6)


def test_what_is_no_score_is_that_of_the_task():
    plain = Segmentation()
    task = metered(plain)
    for name in ("name", "score", "takes_network", "default_data", "has_maps", "kinds", "network"):
        assert getattr(task, name) is getattr(plain, name)
    scenes = load_scenes("synthetic", count=2, image_size=32).batch([0, 1])
    assert torch.equal(task.draw_predictions(scenes.images), plain.draw_predictions(scenes.images))
    assert torch.equal(task.draw_ground_truth(scenes.images, scenes), plain.draw_ground_truth(scenes.images, scenes))
    assert task.budget.spent == Spent()
    with pytest.raises(AttributeError, match="no_such"):
        task.no_such  # noqa: B018


def test_a_task_without_maps_says_so_and_costs_nothing():
    task = metered()
    assert not task.has_maps
    with pytest.raises(UserError, match="'enhancement' has no reward map"):
        task.loss_map(BATCH.images, BATCH)
    assert task.budget.spent == Spent()


def test_the_task_itself_has_one_public_name():
    plain = Segmentation()
    task = metered(plain)
    found = [name for name in dir(task) if not name.startswith("_") and getattr(task, name) is plain]
    assert found == ["unmetered"]
    assert plain.unmetered is plain


def test_metered_twice_is_counted_once():
    once = metered()
    twice = MeteredTask(once, Budget())
    twice.loss(BATCH.images, BATCH)
    assert (once.budget.task_evaluations, twice.budget.task_evaluations) == (0, 3)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda task: pickle.loads(pickle.dumps(task))])
def test_copies_count_for_themselves(twin):
    task = metered(limit=4)
    other = twin(task)
    other.loss(BATCH.images, BATCH)
    assert (task.budget.task_evaluations, other.budget.remaining) == (0, 1)
