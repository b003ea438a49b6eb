import gymnasium as gym
import numpy as np
import pytest
import torch

from isp_gym.envs.episodes import scene_indices, seeds_of


def test_scene_depends_on_seed_and_episode_only():
    seeds = np.arange(5, 13).astype(np.uint64)
    episodes = np.arange(8).astype(np.uint64)
    together = scene_indices(seeds, episodes, 100)
    alone = [scene_indices(seeds[i : i + 1], episodes[i : i + 1], 100)[0] for i in range(8)]
    assert together.tolist() == alone


def test_scenes_are_about_uniform():
    draws = scene_indices(np.zeros(8000, np.uint64), np.arange(8000).astype(np.uint64), 8)
    counts = np.bincount(draws, minlength=8)
    assert (np.abs(counts - 1000) < 5 * np.sqrt(1000 * 7 / 8)).all()


def test_neighbouring_seeds_share_no_stream():
    streams = [scene_indices(np.full(50, s, np.uint64), np.arange(50).astype(np.uint64), 1000) for s in (0, 1)]
    for shift in range(-3, 4):
        assert (np.roll(streams[0], shift) == streams[1]).sum() < 5


class TestSeeds:
    @pytest.mark.parametrize("big", [0, 7, 2**31, 2**63, 2**64 - 1, 2**64 + 5, 10**40])
    def test_of_any_size(self, big):
        assert seeds_of(big, 3) == [big, big + 1, big + 2]

    @pytest.mark.parametrize("seed", [np.int64(5), np.uint64(5), np.uint8(5), np.array(5), torch.tensor(5)])
    def test_one_of_any_kind(self, seed):
        seeds = seeds_of(seed, 2)
        assert seeds == [5, 6]
        assert all(type(one) is int for one in seeds)

    @pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor, lambda seeds: np.array(seeds, np.uint64)])
    def test_one_each_of_any_kind(self, kind):
        assert seeds_of(kind([9, 4, 4]), 3) == [9, 4, 4]

    @pytest.mark.parametrize(
        ("seed", "message"),
        [
            ([1, None, 3], "a seed must be an integer, not None"),
            ([1.0, 2.0, 3.0], "a seed must be an integer, not 1.0"),
            (np.float64(3), "a seed must be an integer"),
            (1.5, "seed must be an integer, or one for each sub-environment, not 1.5"),
            ("123", "seed must be an integer, or one for each"),
            ([1, 2], "2 seeds for 3 environments"),
            ([], "0 seeds for 3 environments"),
            ([[1, 2, 3]], "a seed must be an integer"),
        ],
    )
    def test_anything_else_is_one_line(self, seed, message):
        with pytest.raises(ValueError, match=message) as caught:
            seeds_of(seed, 3)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("seed", [-1, [3, -1, 2], np.int64(-4)])
    def test_negative_ones_are_what_gymnasium_says(self, seed):
        with pytest.raises(gym.error.Error, match="greater or equal to zero"):
            seeds_of(seed, 3)
