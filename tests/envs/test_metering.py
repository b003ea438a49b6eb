"""No way round a run's budget: whatever is scored inside ``metering`` is counted in it, whoever made what."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from isp_gym.budget import Budget, BudgetExhausted, Spent, metering
from isp_gym.envs.config import EnvConfig

TINY = {"image_size": 16, "num_scenes": 6}
SETTING = EnvConfig(**TINY, objective={"fidelity": 1.0})
IDS = sorted(key for key in gym.registry if key.startswith("ISP/"))
every_id = pytest.mark.parametrize("env_id", IDS)


def task_loss():
    task, scenes = SETTING.make_task(), SETTING.load_scenes().batch([0, 1])
    task.loss(scenes.images, scenes)


def task_loss_map():
    task, scenes = SETTING.make_task(), SETTING.load_scenes().batch([0, 1])
    task.loss_map(scenes.images, scenes)


def task_meter():
    task, scenes = SETTING.make_task(), SETTING.load_scenes().batch([0, 1])
    task.metric().update(scenes.images, scenes)


def transition_play():
    transition = SETTING.make_transition()
    tokens, params = torch.zeros(2, 1, dtype=torch.int64), torch.full((2, transition.bank.num_params), 0.4)
    transition.play(transition.scenes.batch([0, 1]), tokens, params)


def transition_with_a_budget_of_its_own():
    transition = SETTING.make_transition()
    transition.budget = Budget()
    scenes = transition.scenes.batch([0, 1])
    transition.task.loss(scenes.images, scenes)


def env_of_the_agent():
    env = gym.make_vec("ISP/Sequence-v0", 2, **TINY)
    env.reset(seed=0)
    env.step(env.action_space.sample())


def env_with_a_budget_of_its_own():
    env = gym.make("ISP/Sequence-v0", **TINY)
    env.unwrapped.share_budget(Budget())
    for _ in range(2):
        env.reset(seed=0)
        env.step(env.action_space.sample())


ROUTES = [
    task_loss,
    task_loss_map,
    task_meter,
    transition_play,
    transition_with_a_budget_of_its_own,
    env_of_the_agent,
    env_with_a_budget_of_its_own,
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
def test_each_route_to_a_score_is_counted_once(route):
    run = Budget()
    with metering(run):
        route()
    assert run.spent.task_evaluations == 2
    assert run.spent.env_steps == (2 if route.__name__.startswith("env") else 0)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
def test_each_route_ends_at_the_limit(route):
    run = Budget(1)
    with metering(run), pytest.raises(BudgetExhausted):
        route()
    assert run.task_evaluations <= 1


@every_id
def test_every_step_of_every_environment_is_counted(env_id, make, make_vec):
    for env, count in ((make(env_id).unwrapped, 1), (make_vec(env_id, 3).unwrapped, 3)):
        budget = Budget()
        env.share_budget(budget)
        env.action_space.seed(0)
        env.reset(seed=0)
        assert budget.spent == Spent()
        env.step(env.action_space.sample())
        assert budget.spent.env_steps == count


@every_id
@pytest.mark.parametrize("limits", [(None, 2), (2, None)], ids=["steps", "evaluations"])
def test_a_step_that_is_not_covered_changes_and_counts_nothing(env_id, limits, make_vec):
    env, clean = make_vec(env_id, 3).unwrapped, make_vec(env_id, 3).unwrapped
    env.action_space.seed(2)
    env.reset(seed=0)
    clean.reset(seed=0)
    action = env.action_space.sample()
    if env_id == "ISP/Stepwise-v0":
        action["module"][:] = 0
    env.share_budget(short := Budget(*limits))
    with pytest.raises(BudgetExhausted):
        env.step(action)
    assert short.spent == Spent()
    env.share_budget(Budget())
    after, expected = env.step(action), clean.step(action)
    np.testing.assert_array_equal(after[1], expected[1])
    assert env.transition.budget.spent == clean.transition.budget.spent


def test_a_bad_action_is_no_step(make_vec):
    env = make_vec("ISP/Sequence-v0", 2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="sequence"):
        env.step({"params": np.zeros((2, 27))})
    assert env.unwrapped.transition.budget.spent == Spent()
