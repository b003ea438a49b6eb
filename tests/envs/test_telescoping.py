"""Law 1: the same pipeline earns the same return in every family."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import isp_gym  # noqa: F401 (registers the environments)

NUM_ENVS, LENGTH = 3, 5
MODULES = ["exposure", "gamma", "ccm", "tone", "white_balance", "saturation"]
END = len(MODULES)
# A low bound of 0.5 makes nearly every input too dark, so that the untouched input itself would be penalised.
SETTING = {
    "image_size": 16,
    "num_scenes": 5,
    "modules": MODULES,
    "max_length": LENGTH,
    "reward": {"low": 0.5, "low_weight": 20.0, "high": 0.6},
}


def vector(env_id, **options):
    return gym.make_vec(env_id, NUM_ENVS, vectorization_mode="vector_entry_point", **SETTING, **options)


SEQUENCE = vector("ISP/Sequence-v0")
STEPWISE = {dense: vector("ISP/Stepwise-v0", dense=dense) for dense in (True, False)}
VARIANTS = {
    "typed order": {"order": "typed"},
    "repeats": {"repeats": True},
    "typed order with repeats": {"order": "typed", "repeats": True},
    "objective": {"objective": {"gradient": 1.0, "eme": 0.5, "anchor": 0.3}},
}
OTHERS = {
    name: (vector("ISP/Sequence-v0", **options), vector("ISP/Stepwise-v0", **options))
    for name, options in VARIANTS.items()
}
REPEATING = {order: vector("ISP/Stepwise-v0", repeats=True, order=order) for order in ("free", "typed")}
pipelines = st.lists(
    st.lists(st.integers(0, END), min_size=LENGTH, max_size=LENGTH), min_size=NUM_ENVS, max_size=NUM_ENVS
).map(np.array)


def sequence_return(sequences, params, seed, env=SEQUENCE):
    env.reset(seed=seed)
    _, rewards, _, _, info = env.step({"sequence": sequences, "params": params})
    return rewards, info["final_info"]


def stepwise_return(env, sequences, params, seed):
    env.reset(seed=seed)
    returns, done, last = np.zeros(NUM_ENVS), np.zeros(NUM_ENVS, bool), [None] * NUM_ENVS
    for step, tokens in enumerate([*sequences.T, np.full(NUM_ENVS, END)]):
        own = params if params.ndim == 2 else params[:, min(step, LENGTH - 1)]
        _, rewards, terminated, _, info = env.step({"module": tokens, "params": own})
        returns += rewards * ~done
        for i in np.flatnonzero(terminated & ~done):
            last[i] = {key: value[i] for key, value in info["final_info"].items()}
        done |= terminated
    assert done.all()
    return returns, last


@pytest.mark.parametrize("dense", [True, False])
@settings(max_examples=40, deadline=None)
@given(sequences=pipelines, seed=st.integers(0, 1000))
def test_return_of_a_pipeline(dense, sequences, seed):
    params = np.random.default_rng(seed).random((NUM_ENVS, SEQUENCE.single_action_space["params"].shape[0]), np.float32)
    expected, info = sequence_return(sequences, params, seed)
    returns, last = stepwise_return(STEPWISE[dense], sequences, params, seed)
    np.testing.assert_allclose(returns, expected, rtol=1e-5, atol=2e-6)
    for i in range(NUM_ENVS):
        for key in ("scene", "loss", "penalty", "length"):
            np.testing.assert_allclose(last[i][key], info[key][i], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=20, deadline=None)
@given(sequences=pipelines, seed=st.integers(0, 1000))
def test_return_of_a_pipeline_under_other_rules(variant, sequences, seed):
    at_once, by_steps = OTHERS[variant]
    params = np.random.default_rng(seed).random((NUM_ENVS, SEQUENCE.single_action_space["params"].shape[0]), np.float32)
    expected, info = sequence_return(sequences, params, seed, at_once)
    returns, last = stepwise_return(by_steps, sequences, params, seed)
    np.testing.assert_allclose(returns, expected, rtol=1e-5, atol=5e-6)
    assert [one["length"] for one in last] == info["length"].tolist()


@pytest.mark.parametrize("order", ["free", "typed"])
@settings(max_examples=20, deadline=None)
@given(sequences=pipelines, seed=st.integers(0, 1000))
def test_steps_with_parameters_of_their_own_earn_what_their_pipeline_does(order, sequences, seed):
    """With repeats the transition, given a row of parameters a step, rewards what the steps add up to."""
    env = REPEATING[order]
    params = np.random.default_rng(seed).random(
        (NUM_ENVS, LENGTH, env.single_action_space["params"].shape[0]), np.float32
    )
    scenes = env.reset(seed=seed)[1]["scene"]
    returns, last = stepwise_return(env, sequences, params, seed)
    transition = env.unwrapped.transition
    outcome = transition.play(transition.scenes.batch(scenes.tolist()), torch.tensor(sequences), torch.tensor(params))
    np.testing.assert_allclose(returns, outcome.reward, rtol=1e-5, atol=5e-6)
    np.testing.assert_allclose([one["loss"] for one in last], outcome.loss, rtol=1e-5, atol=1e-6)


def test_a_module_used_twice_changes_the_return():
    """Repeats are no empty word: with them the second use counts, without them it does not."""
    params = np.full((NUM_ENVS, SEQUENCE.single_action_space["params"].shape[0]), 0.6, np.float32)
    twice, once = np.tile([0, 0, END, END, END], (NUM_ENVS, 1)), np.tile([0, END, END, END, END], (NUM_ENVS, 1))
    for env, same in ((SEQUENCE, True), (OTHERS["repeats"][0], False)):
        rewards = [sequence_return(tokens, params, 3, env)[0] for tokens in (twice, once)]
        assert np.array_equal(*rewards) == same


def test_return_is_equation_3():
    params = np.full((NUM_ENVS, SEQUENCE.single_action_space["params"].shape[0]), 0.4, np.float32)
    rewards, info = sequence_return(np.tile([0, 1, 3, END, 2], (NUM_ENVS, 1)), params, 1)
    np.testing.assert_allclose(rewards, info["initial_loss"] - info["loss"] - info["penalty"], rtol=1e-6)


def test_empty_pipeline_pays_for_a_dark_input():
    params = np.zeros((NUM_ENVS, SEQUENCE.single_action_space["params"].shape[0]), np.float32)
    empty = np.full((NUM_ENVS, LENGTH), END)
    rewards, info = sequence_return(empty, params, 0)
    assert (info["penalty"] > 0.1).any()
    np.testing.assert_allclose(rewards, -info["penalty"], rtol=1e-5)
    for env in STEPWISE.values():
        np.testing.assert_allclose(stepwise_return(env, empty, params, 0)[0], rewards, rtol=1e-5)
