"""Law 1: the same pipeline earns the same return in every family."""

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import isp_gym  # noqa: F401 (registers the environments)

LANES, LENGTH = 3, 5
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
    return gym.make_vec(env_id, LANES, vectorization_mode="vector_entry_point", **SETTING, **options)


SEQUENCE = vector("ISP/Sequence-v0")
STEPWISE = {dense: vector("ISP/Stepwise-v0", dense=dense) for dense in (True, False)}
VARIANTS = {"typed order": {"order": "typed"}, "objective": {"objective": {"gradient": 1.0, "eme": 0.5, "anchor": 0.3}}}
OTHERS = {
    name: (vector("ISP/Sequence-v0", **options), vector("ISP/Stepwise-v0", **options))
    for name, options in VARIANTS.items()
}
pipelines = st.lists(
    st.lists(st.integers(0, END), min_size=LENGTH, max_size=LENGTH), min_size=LANES, max_size=LANES
).map(np.array)


def sequence_return(sequences, params, seed, env=SEQUENCE):
    env.reset(seed=seed)
    _, rewards, _, _, info = env.step({"sequence": sequences, "params": params})
    return rewards, info["final_info"]


def stepwise_return(env, sequences, params, seed):
    env.reset(seed=seed)
    returns, done, last = np.zeros(LANES), np.zeros(LANES, bool), [None] * LANES
    for tokens in [*sequences.T, np.full(LANES, END)]:
        _, rewards, terminated, _, info = env.step({"module": tokens, "params": params})
        returns += rewards * ~done
        for lane in np.flatnonzero(terminated & ~done):
            last[lane] = {key: value[lane] for key, value in info["final_info"].items()}
        done |= terminated
    assert done.all()
    return returns, last


@pytest.mark.parametrize("dense", [True, False])
@settings(max_examples=40, deadline=None)
@given(sequences=pipelines, seed=st.integers(0, 1000))
def test_return_of_a_pipeline(dense, sequences, seed):
    params = np.random.default_rng(seed).random((LANES, SEQUENCE.single_action_space["params"].shape[0]), np.float32)
    expected, info = sequence_return(sequences, params, seed)
    returns, last = stepwise_return(STEPWISE[dense], sequences, params, seed)
    np.testing.assert_allclose(returns, expected, rtol=1e-5, atol=2e-6)
    for lane in range(LANES):
        for key in ("scene", "loss", "penalty", "length"):
            np.testing.assert_allclose(last[lane][key], info[key][lane], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=20, deadline=None)
@given(sequences=pipelines, seed=st.integers(0, 1000))
def test_return_of_a_pipeline_under_other_rules(variant, sequences, seed):
    at_once, by_steps = OTHERS[variant]
    params = np.random.default_rng(seed).random((LANES, SEQUENCE.single_action_space["params"].shape[0]), np.float32)
    expected, info = sequence_return(sequences, params, seed, at_once)
    returns, last = stepwise_return(by_steps, sequences, params, seed)
    np.testing.assert_allclose(returns, expected, rtol=1e-5, atol=5e-6)
    assert [lane["length"] for lane in last] == info["length"].tolist()


def test_return_is_equation_3():
    params = np.full((LANES, SEQUENCE.single_action_space["params"].shape[0]), 0.4, np.float32)
    rewards, info = sequence_return(np.tile([0, 1, 3, END, 2], (LANES, 1)), params, 1)
    np.testing.assert_allclose(rewards, info["initial_loss"] - info["loss"] - info["penalty"], rtol=1e-6)


def test_empty_pipeline_pays_for_a_dark_input():
    params = np.zeros((LANES, SEQUENCE.single_action_space["params"].shape[0]), np.float32)
    empty = np.full((LANES, LENGTH), END)
    rewards, info = sequence_return(empty, params, 0)
    assert (info["penalty"] > 0.1).any()
    np.testing.assert_allclose(rewards, -info["penalty"], rtol=1e-5)
    for env in STEPWISE.values():
        np.testing.assert_allclose(stepwise_return(env, empty, params, 0)[0], rewards, rtol=1e-5)
