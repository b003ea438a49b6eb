"""Seeds and scenes of the sub-environments; what any vector environment must do ``check_vector_env`` checks."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from isp_gym.envs.episodes import scene_indices
from isp_gym.errors import UserError

IDS = sorted(key for key in gym.registry if key.startswith("ISP/"))
every_id = pytest.mark.parametrize("env_id", IDS)
FAMILIES = ["ISP/Sequence-v0", "ISP/Stepwise-v0", "ISP/PixelCurve-v0"]
every_family = pytest.mark.parametrize("env_id", FAMILIES)


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
def test_scenes_do_not_depend_on_the_policy(env_id, make_vec):
    """Whatever is done, the k-th episode of a sub-environment shows the same scene."""
    histories = []
    for seed in (0, 1):
        env = make_vec(env_id, 3, num_scenes=64, modules=["exposure", "gamma", "tone"])
        env.action_space.seed(seed)
        seen = [[scene] for scene in env.reset(seed=2)[1]["scene"].tolist()]
        for _ in range(40):
            _, _, ended, _, info = env.step(env.action_space.sample())
            for i in np.flatnonzero(ended):
                seen[i].append(int(info["scene"][i]))
        histories.append(seen)
    for one, other in zip(*histories, strict=True):
        shared = min(len(one), len(other))
        assert shared >= 5
        assert one[:shared] == other[:shared]


@every_id
def test_a_reset_without_a_seed_goes_on_with_the_streams(env_id, make, make_vec):
    """The k-th episode shows the k-th scene of its stream, whether a reset or the end of another one began it."""
    seeds = np.array([8, 9, 10], np.uint64)
    expected = [scene_indices(seeds, np.full(3, k, np.uint64), 1000).tolist() for k in range(3)]
    env, single = make_vec(env_id, 3, num_scenes=1000), make(env_id, num_scenes=1000)
    for k in range(3):
        assert env.reset(seed=None if k else 8)[1]["scene"].tolist() == expected[k]
        assert single.reset(seed=None if k else 9)[1]["scene"] == expected[k][1]


@every_family
class TestSeeds:
    def test_random_numbers_drawn_before_the_first_reset_do_not_matter(self, env_id, make, make_vec):
        """Without a seed the scenes are random ones, not those of seed 0 in every sub-environment."""
        starts = set()
        for _ in range(4):
            env = make_vec(env_id, 3, num_scenes=1000)
            env.unwrapped.np_random.random()
            starts.add(tuple(env.reset()[1]["scene"].tolist()))
        assert len(starts) == 4
        assert any(len(set(start)) > 1 for start in starts)
        singles = [make(env_id, num_scenes=1000).unwrapped for _ in range(4)]
        for env in singles:
            env.np_random.random()
        assert len({env.reset()[1]["scene"] for env in singles}) > 1

    def test_random_numbers_that_were_seeded_seed_the_first_reset(self, env_id, make_vec):
        scenes = []
        for _ in range(2):
            env = make_vec(env_id, 3, num_scenes=1000).unwrapped
            env.np_random = np.random.default_rng(3)
            scenes.append(env.reset()[1]["scene"].tolist())
        assert scenes[0] == scenes[1]

    @pytest.mark.parametrize(
        "seed", [np.int64(7), np.uint64(2**64 - 2), 2**64 - 2, 2**70, np.array([4, 5, 6]), (4, 5, 6)]
    )
    def test_of_any_kind_and_size(self, env_id, seed, make, make_vec):
        env = make_vec(env_id, 3, num_scenes=1000)
        first = env.reset(seed=seed)[1]["scene"].tolist()
        assert env.reset(seed=seed)[1]["scene"].tolist() == first
        single = make(env_id, num_scenes=1000)
        for i in range(3):
            one = int(seed[i]) if np.ndim(seed) else int(seed) + i
            assert single.reset(seed=one)[1]["scene"] == first[i]

    def test_bad_ones_leave_the_streams_as_they_were(self, env_id, make, make_vec):
        env, single = make_vec(env_id, 3, num_scenes=1000), make(env_id, num_scenes=1000)
        clean = make_vec(env_id, 3, num_scenes=1000)
        for each in (env, single, clean):
            each.reset(seed=5)
        for bad in ([1, None, 3], 1.5, "5", [1, 2]):
            for each in (env, single):
                with pytest.raises(ValueError, match=r"seed"):
                    each.reset(seed=bad)
        for each in (env, single):
            with pytest.raises(gym.error.Error, match="greater or equal to zero"):
                each.reset(seed=-1)
        expected = clean.reset()[1]["scene"].tolist()
        assert env.reset()[1]["scene"].tolist() == expected
        assert single.reset()[1]["scene"] == expected[0]


class TestSceneOption:
    def test_one_for_each(self, make_vec):
        env, free = make_vec("ISP/Stepwise-v0", 3), make_vec("ISP/Stepwise-v0", 3)
        ids = env.unwrapped.transition.scenes.ids
        following = free.reset(seed=4)[1]["scene"].tolist()
        for asked in ([0, 1, 2], (ids[0], 1, ids[2]), np.array([0, 1, 2])):
            assert env.reset(seed=4, options={"scene": asked})[1]["scene"].tolist() == [0, 1, 2]
        assert env.reset(seed=4, options={"scene": [5, None, None]})[1]["scene"].tolist() == [5, *following[1:]]
        assert env.reset()[1]["scene"].tolist() == free.reset()[1]["scene"].tolist()

    @pytest.mark.parametrize(
        ("scene", "message"),
        [
            ([0, 1], "names 2 scenes for 3 environments"),
            ([0, 1, 6], r"in \[0, 6\), not 6"),
            ([0, -1, 2], r"in \[0, 6\), not -1"),
            (1.5, "an id or an integer, not 1.5"),
        ],
    )
    def test_anything_else_is_refused(self, scene, message, make_vec):
        env = make_vec("ISP/Stepwise-v0", 3)
        with pytest.raises(ValueError, match=message):
            env.reset(seed=0, options={"scene": scene})
        with pytest.raises(UserError, match="unknown reset option 'scenes'"):
            env.reset(seed=0, options={"scenes": [0, 1, 2]})


@every_id
def test_steps_inside_inference_mode_and_resets_outside(env_id, make, make_vec):
    for build in (lambda: make(env_id), lambda: make_vec(env_id, 2)):
        with torch.inference_mode():
            env, clean = build(), build()
        env.action_space.seed(0)
        for each in (env, clean):
            each.reset(seed=0)
        for _ in range(3):
            action = env.action_space.sample()
            with torch.inference_mode():
                inside = env.step(action)
            np.testing.assert_array_equal(inside[1], clean.step(action)[1])
            for each in (env, clean):
                each.reset()


def test_a_reset_inside_inference_mode_and_ends_outside(make_vec):
    """The scenes of a sub-environment that ends are replaced in place among those that the reset began."""
    env = make_vec("ISP/Stepwise-v0", 2)
    with torch.inference_mode():
        env.reset(seed=0)
    *_, ended, _, _ = env.step({"module": np.array([10, 0]), "params": np.full((2, 27), 0.4, np.float32)})
    assert ended.tolist() == [True, False]


@every_id
def test_render_before_reset(env_id, make, make_vec):
    for env in (make(env_id, render_mode="rgb_array"), make_vec(env_id, 2, render_mode="rgb_array")):
        with pytest.raises(gym.error.ResetNeeded, match=r"reset\(\) before render\(\)"):
            env.unwrapped.render()
