import numpy as np
import pytest
import torch

from isp_gym.budget import Budget, BudgetExhausted

ID = "ISP/Sequence-v0"


def action(env, *tokens):
    """That pipeline, with every parameter at 0.4."""
    space = env.action_space
    end = int(space["sequence"].nvec[0]) - 1
    sequence = np.full(space["sequence"].shape, end)
    sequence[: len(tokens)] = tokens
    return {"sequence": sequence, "params": np.full(space["params"].shape, 0.4, np.float32)}


def test_output_is_that_of_the_bank(make):
    env = make(ID)
    env.reset(seed=0, options={"scene": 1})
    observation = env.step(action(env, 5, 0))[0]
    transition = env.unwrapped.transition
    scene = transition.scenes.batch([1])
    sequence = torch.tensor([[5, 0]])
    expected = transition.bank(scene.images, sequence, torch.full((1, transition.bank.num_params), 0.4)).clamp(0, 1)
    np.testing.assert_allclose(observation, expected[0], rtol=1e-6)


def test_one_step_ends_it(make):
    env = make(ID)
    env.reset(seed=0)
    _, _, terminated, truncated, info = env.step(action(env, 0, 1, 1, 0, 2))
    assert (terminated, truncated) == (True, False)
    assert info["length"] == 3


def test_each_pipeline_is_one_evaluation_also_the_empty_one(make_vec):
    env = make_vec(ID, 4)
    budget = Budget(9)
    env.unwrapped.share_budget(budget)
    env.reset(seed=0)
    end = env.single_action_space["sequence"].nvec[0] - 1
    actions = {"sequence": np.full((4, 10), end), "params": np.zeros((4, 27), np.float32)}
    env.step(actions)
    env.step(actions)
    assert budget.task_evaluations == 8
    with pytest.raises(BudgetExhausted):
        env.step(actions)
    assert budget.task_evaluations == 8


BAD = {
    "nan": lambda a: a["params"].__setitem__(3, np.nan),
    "too high": lambda a: a["params"].__setitem__(0, 1.5),
    "too low": lambda a: a["params"].__setitem__(0, -0.1),
    "short params": lambda a: a.__setitem__("params", a["params"][:5]),
    "text params": lambda a: a.__setitem__("params", "loud"),
    "short sequence": lambda a: a.__setitem__("sequence", a["sequence"][:2]),
    "floats": lambda a: a.__setitem__("sequence", a["sequence"] + 0.5),
    "beyond the end token": lambda a: a["sequence"].__setitem__(0, 11),
    "negative": lambda a: a["sequence"].__setitem__(0, -1),
    "no params": lambda a: a.pop("params"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_action_is_one_clear_error_and_changes_nothing(kind, make):
    env, clean = make(ID), make(ID)
    start = env.reset(seed=0)[0]
    clean.reset(seed=0)
    bad = action(env, 0, 1)
    BAD[kind](bad)
    with pytest.raises(ValueError, match=r"params|sequence"):
        env.unwrapped.step(bad)
    assert env.unwrapped.transition.budget.task_evaluations == 0
    good = action(env, 0, 1)
    after, expected = env.step(good), clean.step(good)
    np.testing.assert_array_equal(after[0], expected[0])
    assert after[1] == expected[1]
    assert start.shape == after[0].shape


@pytest.mark.parametrize("not_a_dict", [3, None, np.zeros(27), (3, np.zeros(27))])
def test_an_action_of_another_kind(not_a_dict, make):
    env = make(ID).unwrapped
    env.reset(seed=0)
    with pytest.raises(ValueError, match="the action must be a dict with 'sequence'"):
        env.step(not_a_dict)
