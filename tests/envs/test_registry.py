"""What every registered environment must do, for all of them."""

import copy
import json
import pickle
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env, data_equivalence

import isp_gym
from isp_gym.data import sealed
from isp_gym.errors import UserError

IDS = sorted(key for key in gym.registry if key.startswith("ISP/"))
every_id = pytest.mark.parametrize("env_id", IDS)


def rollout(env, seed, steps=6):
    """All that a seeded environment says under random actions."""
    env.action_space.seed(seed)
    said = [env.reset(seed=seed)]
    for _ in range(steps):
        said.append(env.step(env.action_space.sample()))
        if isinstance(env.unwrapped, gym.Env) and said[-1][2]:
            said.append(env.reset())
    return said


def test_both_families_are_registered():
    assert {"ISP/Sequence-v0", "ISP/Stepwise-v0"} <= set(IDS)


def test_registering_again_changes_nothing():
    before = dict(gym.registry)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        isp_gym.envs.register()
    assert gym.registry == before


@every_id
def test_check_env_has_nothing_to_say(env_id, make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make(env_id).unwrapped)


@every_id
def test_same_seed_same_everything(env_id, make, make_vec):
    for build in (lambda: make(env_id), lambda: make_vec(env_id, 3)):
        assert data_equivalence(rollout(build(), 5), rollout(build(), 5), exact=True)


@every_id
def test_another_seed_shows_other_scenes(env_id, make_vec):
    scenes = [make_vec(env_id, 8, num_scenes=64).reset(seed=seed)[1]["scene"].tolist() for seed in (0, 100)]
    assert scenes[0] != scenes[1]


@every_id
def test_spec_survives_json_pickle_and_deepcopy(env_id, make):
    env = make(env_id)
    spec = env.spec
    for copied in (EnvSpec.from_json(spec.to_json()), pickle.loads(pickle.dumps(spec)), copy.deepcopy(spec)):
        assert data_equivalence(rollout(gym.make(copied), 1, 3), rollout(env, 1, 3), exact=True)


@every_id
def test_vector_spec_makes_the_same_environment(env_id, make_vec):
    env = make_vec(env_id, 2)
    again = gym.make_vec(env.spec)
    assert again.num_envs == 2
    assert data_equivalence(rollout(again, 1, 3), rollout(env, 1, 3), exact=True)


@every_id
def test_environment_itself_survives_deepcopy_and_pickle(env_id, make_vec):
    env = make_vec(env_id, 2)
    rollout(env, 0, 2)
    twins = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    action = env.action_space.sample()
    expected = env.step(action)
    for twin in twins:
        assert data_equivalence(twin.step(action), expected, exact=True)


@every_id
def test_step_before_reset_and_after_the_end(env_id, make, make_vec):
    env = make(env_id).unwrapped
    action = env.action_space.sample()
    with pytest.raises(gym.error.ResetNeeded):
        env.step(action)
    env.reset(seed=0)
    while not env.step(env.action_space.sample())[2]:
        pass
    with pytest.raises(gym.error.ResetNeeded):
        env.step(action)
    vector = make_vec(env_id, 2)
    with pytest.raises(gym.error.ResetNeeded):
        vector.step(vector.action_space.sample())


@every_id
def test_scene_option(env_id, make, make_vec):
    env = make(env_id)
    scenes = env.unwrapped.transition.scenes
    options = {"scene": scenes.ids[4]}
    _, info = env.reset(seed=0, options=options)
    assert info["scene"] == 4
    assert options == {"scene": scenes.ids[4]}
    assert env.reset(options={"scene": 2})[1]["scene"] == 2
    assert make_vec(env_id, 3).reset(seed=0, options=options)[1]["scene"].tolist() == [4, 4, 4]
    with pytest.raises(ValueError, match="6"):
        env.reset(options={"scene": 6})
    with pytest.raises(UserError, match="nowhere"):
        env.reset(options={"scene": "train/nowhere/0"})


@every_id
def test_a_forced_scene_does_not_disturb_later_ones(env_id, make):
    free, forced = make(env_id), make(env_id)
    free.reset(seed=3)
    forced.reset(seed=3, options={"scene": 0})
    assert [free.reset()[1]["scene"] for _ in range(4)] == [forced.reset()[1]["scene"] for _ in range(4)]


@every_id
def test_info_is_scalars_and_small_arrays_without_nan(env_id, make):
    env = make(env_id)
    _, start = env.reset(seed=0)
    info = env.step(env.action_space.sample())[4]
    assert {"scene", "initial_loss"} <= set(start) <= set(info)
    assert {"loss", "penalty"} <= set(info)
    for value in info.values():
        assert isinstance(value, (int, float, bool, np.ndarray))
        assert np.isfinite(value).all()


@every_id
def test_reward_is_a_float_and_flags_are_bools(env_id, make):
    env = make(env_id)
    env.reset(seed=0)
    _, reward, terminated, truncated, _ = env.step(env.action_space.sample())
    assert (type(reward), type(terminated), type(truncated)) == (float, bool, bool)


@every_id
def test_sealed_split_cannot_be_made(env_id, make):
    with sealed("test"), pytest.raises(UserError, match="sealed"):
        make(env_id, split="test")


@every_id
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"imagesize": 16}, "imagesize"),
        ({"split": "exam"}, "exam"),
        ({"task": "enhancment"}, "enhancement"),
        ({"image_size": 0}, "image_size"),
        ({"bank": "refrence"}, "reference"),
        ({"reward": {"lo": 1}}, "lo"),
        ({"data": "folder:/nowhere"}, "/nowhere"),
    ],
)
def test_a_wrong_option_is_named(env_id, options, message, make):
    with pytest.raises(UserError, match=message):
        make(env_id, **options)


class TestTable:
    def test_a_row_an_id(self):
        rows = isp_gym.envs.environment_table()
        assert sorted(row["id"] for row in rows) == IDS
        assert json.loads(json.dumps(rows)) == rows

    def test_spaces_are_those_of_the_defaults(self):
        rows = {row["id"]: row for row in isp_gym.envs.environment_table()}
        assert rows["ISP/Sequence-v0"]["observation"] == "Box(0, 1, (3, 64, 64))"
        assert "MultiDiscrete(10 of 11)" in rows["ISP/Sequence-v0"]["action"]
        assert rows["ISP/StepwiseDiscrete-v0"]["action"] == "Discrete(136)"
        assert rows["ISP/StepwiseMultiDiscrete-v0"]["action"] == "MultiDiscrete(1 of 11, 27 of 5)"


@every_id
def test_action_masks_are_in_step_with_info(env_id, make, make_vec):
    env, vector = make(env_id), make_vec(env_id, 2)
    _, info = env.reset(seed=0)
    _, infos = vector.reset(seed=0)
    box = isinstance(env.action_space, gym.spaces.Box)
    names = [] if env_id.startswith("ISP/PixelCurve") else ["module_mask" if box else "action_mask"]
    assert [name for name in info if name.endswith("_mask")] == names
    for name in names:
        assert info[name].dtype == np.int8
        assert env.unwrapped.action_masks().dtype == bool
        np.testing.assert_array_equal(info[name], env.unwrapped.action_masks())
        np.testing.assert_array_equal(infos[name], vector.unwrapped.action_masks())


@pytest.mark.parametrize("family", ["Sequence", "Stepwise"])
def test_typed_order_closes_what_the_light_forbids(family, make):
    free, typed = make(f"ISP/{family}-v0"), make(f"ISP/{family}-v0", order="typed")
    masks = [env.reset(seed=0)[1]["action_mask"] for env in (free, typed)]
    assert masks[0].all()
    assert 1 < masks[1].sum() < masks[0].sum()
    with pytest.raises(UserError, match="typed"):
        make(f"ISP/{family}-v0", order="type")
