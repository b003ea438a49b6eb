"""Laws 2, 3, 4 and 6 on the vector environments."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.vector.utils import iterate

IDS = sorted(key for key in gym.registry if key.startswith("ISP/"))
every_id = pytest.mark.parametrize("env_id", IDS)


def lane_actions(env, steps, lanes):
    """One list of actions a lane, that do not depend on how many lanes there are."""
    space = env.single_action_space
    out = []
    for lane in range(lanes):
        space.seed(100 + lane)
        out.append([space.sample() for _ in range(steps)])
    return out


def stack(actions):
    if isinstance(actions[0], dict):
        return {key: np.stack([action[key] for action in actions]) for key in actions[0]}
    return np.stack(actions)


def pick(batch, lane):
    """What a batched value says of one lane."""
    if isinstance(batch, dict):
        return {key: pick(value, lane) for key, value in batch.items()}
    return batch[lane]


def trace(env, lanes, steps=8):
    """Per lane: every observation, reward, end and final observation."""
    actions = lane_actions(env, steps, lanes)
    observation, info = env.reset(seed=11)
    out = [[(pick(observation, lane), info["scene"][lane])] for lane in range(lanes)]
    for step in range(steps):
        observation, rewards, ended, _, info = env.step(stack([actions[lane][step] for lane in range(lanes)]))
        for lane in range(lanes):
            final = info["final_obs"][lane] if ended[lane] else None
            last = info["final_info"]["loss"][lane] if ended[lane] else info["loss"][lane]
            out[lane].append((pick(observation, lane), rewards[lane], ended[lane], final, last, info["scene"][lane]))
    return out


def assert_close(one, other):
    if isinstance(one, dict):
        for key in one:
            assert_close(one[key], other[key])
    elif isinstance(one, (tuple, list)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_close(a, b)
    elif one is None:
        assert other is None
    else:
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@every_id
def test_a_lane_does_not_know_how_many_there_are(env_id, make_vec):
    few, many = trace(make_vec(env_id, 2), 2), trace(make_vec(env_id, 7), 7)
    assert_close(few, many[:2])


@every_id
def test_vector_is_sync_vector_of_singles(env_id, make, make_vec):
    batched = trace(make_vec(env_id, 3), 3)
    singles = SyncVectorEnv([lambda: make(env_id)] * 3, autoreset_mode=AutoresetMode.SAME_STEP)
    assert_close(batched, trace(singles, 3))


@every_id
def test_single_is_the_batch_of_one(env_id, make, make_vec):
    single, batch = make(env_id), make_vec(env_id, 1)
    observation, info = single.reset(seed=4)
    observations, infos = batch.reset(seed=4)
    assert data_equivalence(observation, pick(observations, 0), exact=False)
    assert info["scene"] == infos["scene"][0]
    single.action_space.seed(0)
    action = single.action_space.sample()
    _, reward, terminated, _, _ = single.step(action)
    _, rewards, ended, _, _ = batch.step(stack([action]))
    assert (reward, terminated) == (rewards[0], ended[0])


@every_id
def test_seeds_as_a_list(env_id, make_vec):
    env = make_vec(env_id, 3, num_scenes=50)
    by_list = env.reset(seed=[9, 10, 11])[1]["scene"].tolist()
    assert by_list == env.reset(seed=9)[1]["scene"].tolist()
    swapped = env.reset(seed=[11, 9, 10])[1]["scene"].tolist()
    assert swapped == [by_list[2], by_list[0], by_list[1]]
    with pytest.raises(ValueError, match="2 seeds"):
        env.reset(seed=[1, 2])


@every_id
def test_reset_without_a_seed_goes_on(env_id, make_vec):
    env = make_vec(env_id, 4, num_scenes=100)
    scenes = [env.reset(seed=0)[1]["scene"].tolist(), *(env.reset()[1]["scene"].tolist() for _ in range(3))]
    assert len({tuple(row) for row in scenes}) == 4


@every_id
def test_what_was_handed_out_stays_as_it_was(env_id, make_vec):
    env = make_vec(env_id, 2)
    env.action_space.seed(0)
    handed, copies = [], []
    handed.append(env.reset(seed=0, options={}))
    copies.append(copy.deepcopy(handed[-1]))
    for _ in range(6):
        action = env.action_space.sample()
        before = copy.deepcopy(action)
        handed.append(env.step(action))
        copies.append(copy.deepcopy(handed[-1]))
        assert data_equivalence(action, before, exact=True)
    assert data_equivalence(handed, copies, exact=True)


@every_id
def test_spoiling_what_was_handed_out_changes_nothing(env_id, make_vec):
    clean, spoiled = make_vec(env_id, 2), make_vec(env_id, 2)
    clean.action_space.seed(0)
    clean.reset(seed=0)
    spoil(spoiled.reset(seed=0))
    for _ in range(6):
        action = clean.action_space.sample()
        expected, got = clean.step(action), spoiled.step(copy.deepcopy(action))
        assert data_equivalence(got, expected, exact=True)
        spoil(got)


def spoil(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        for item in value:
            spoil(item)
    elif isinstance(value, np.ndarray) and value.dtype == object:
        spoil([item for item in value if item is not None])
    elif isinstance(value, np.ndarray):
        value[...] = 1 if value.dtype == bool else 77


@every_id
def test_scenes_do_not_depend_on_the_policy(env_id, make_vec):
    """Whatever is done, the k-th episode of a lane shows the same scene."""
    histories = []
    for seed in (0, 1):
        env = make_vec(env_id, 3, num_scenes=64)
        env.action_space.seed(seed)
        seen = [[scene] for scene in env.reset(seed=2)[1]["scene"].tolist()]
        for _ in range(60):
            _, _, ended, _, info = env.step(env.action_space.sample())
            for lane in np.flatnonzero(ended):
                seen[lane].append(int(info["scene"][lane]))
        histories.append(seen)
    for one, other in zip(*histories, strict=True):
        shared = min(len(one), len(other))
        assert shared >= 5
        assert one[:shared] == other[:shared]


@every_id
def test_metadata_and_spaces(env_id, make, make_vec):
    env, single = make_vec(env_id, 2), make(env_id)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.single_observation_space == single.observation_space
    assert env.single_action_space == single.action_space
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    assert all(one in env.single_observation_space for one in iterate(env.observation_space, observation))
