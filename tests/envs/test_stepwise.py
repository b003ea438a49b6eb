import numpy as np
import pytest
import torch

from isp_gym.budget import Budget, BudgetExhausted
from isp_gym.envs.stepwise import run_policy
from isp_gym.modules import get_bank

ID = "ISP/Stepwise-v0"
STOP = 10


def action(module, value=0.4):
    return {"module": module, "params": np.full(27, value, np.float32)}


def batch(*modules, value=0.4):
    return {"module": np.array(modules), "params": np.full((len(modules), 27), value, np.float32)}


def test_observation_follows_the_pipeline(make):
    env = make(ID)
    start, info = env.reset(seed=0)
    assert start["step"] == 0
    assert not start["used"].any()
    assert info["action_mask"].tolist() == [1] * 11
    after, _, terminated, _, info = env.step(action(5))
    assert after["step"] == 1
    assert np.flatnonzero(after["used"]).tolist() == [5]
    assert info["action_mask"].tolist() == [1] * 5 + [0] + [1] * 5
    assert info["action_mask"].dtype == np.int8
    assert not terminated
    assert not np.array_equal(start["image"], after["image"])


def test_stop_ends_it_and_changes_no_image(make):
    env = make(ID)
    start, _ = env.reset(seed=0)
    after, reward, terminated, truncated, info = env.step(action(STOP))
    assert (terminated, truncated) == (True, False)
    assert info["length"] == 0
    assert reward == pytest.approx(-info["penalty"])
    np.testing.assert_array_equal(start["image"], after["image"])


def test_it_ends_after_max_length_actions(make):
    env = make(ID, max_length=3)
    env.reset(seed=0)
    ends = [env.step(action(module))[2] for module in (0, 0, 1)]
    assert ends == [False, False, True]


def test_a_repeated_module_changes_nothing_but_costs_its_step(make):
    env = make(ID)
    env.reset(seed=0)
    first = env.step(action(0))
    second = env.step(action(0, 0.9))
    np.testing.assert_array_equal(first[0]["image"], second[0]["image"])
    assert second[0]["step"] == 2
    assert second[1] == 0


def test_dense_pays_an_evaluation_a_module_terminal_one_an_episode(make_vec):
    for dense, expected in ((True, 4), (False, 2)):
        env = make_vec(ID, 3, dense=dense)
        budget = Budget()
        env.unwrapped.share_budget(budget)
        env.reset(seed=0)
        env.step(batch(0, 1, STOP))
        env.step(batch(1, 1, 0))  # lane 2 has begun another episode
        rewards = env.step(batch(STOP, STOP, 1))[1]
        assert (rewards[2] == 0) == (not dense)
        assert budget.task_evaluations == expected + dense


def test_stopping_at_once_is_free(make_vec):
    env = make_vec(ID, 2)
    env.reset(seed=0)
    env.step(batch(STOP, STOP))
    assert env.unwrapped.transition.budget.task_evaluations == 0


def test_an_exhausted_budget_leaves_the_state_alone(make_vec):
    env, clean = make_vec(ID, 2), make_vec(ID, 2)
    for each in (env, clean):
        each.reset(seed=0)
        each.step(batch(0, 1))
    env.unwrapped.share_budget(Budget(1))
    with pytest.raises(BudgetExhausted):
        env.step(batch(1, 5))
    env.unwrapped.share_budget(Budget())
    after, expected = env.step(batch(1, 0)), clean.step(batch(1, 0))
    np.testing.assert_array_equal(after[0]["image"], expected[0]["image"])
    np.testing.assert_array_equal(after[1], expected[1])


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (batch(0, 11), "module"),
        (batch(-1, 0), "module"),
        (batch(0), "module"),
        ({**batch(0, 1), "module": np.array([0.0, 1.0])}, "module"),
        (batch(0, 1, value=np.nan), "params"),
        (batch(0, 1, value=np.inf), "params"),
        (batch(0, 1, value=-0.01), "params"),
        ({"module": np.array([0, 1])}, "params"),
        ({"params": np.zeros((2, 27))}, "module"),
        (np.zeros((2, 28)), "module"),
        (None, "module"),
    ],
)
def test_a_bad_action_is_one_clear_error_and_moves_no_lane(bad, message, make_vec):
    env, clean = make_vec(ID, 2), make_vec(ID, 2)
    for each in (env, clean):
        each.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        env.step(bad)
    after, expected = env.step(batch(0, 1)), clean.step(batch(0, 1))
    np.testing.assert_array_equal(after[0]["image"], expected[0]["image"])
    np.testing.assert_array_equal(after[1], expected[1])
    assert after[0]["step"].tolist() == [1, 1]


def test_run_policy_builds_what_the_environment_would(make_vec):
    env = make_vec(ID, 3)
    observation, _ = env.reset(seed=0)
    images = torch.from_numpy(observation["image"])
    script = [(0, 5, STOP), (0, 1, 3), (STOP, 2, 3), (1, STOP, 3)]  # repeats in lanes 0 and 2, stops at other times

    def policy(seen):
        step = int(seen["step"].max())
        tokens = torch.tensor(script[min(step, 3)])
        return tokens, torch.full((3, 27), 0.3 + 0.1 * step)

    sequences, params = run_policy(policy, images, get_bank("reference"), 10)
    assert [row[row != STOP].tolist() for row in sequences] == [[0], [5, 1, 2], []]
    bank = get_bank("reference")
    assert params[1, bank.slices[1]].tolist() == pytest.approx([0.4])
    torch.testing.assert_close(params[2], bank.neutral)
