import numpy as np

from isp_gym.envs.episodes import Episodes, scene_indices


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


def test_a_lane_goes_on_by_itself():
    episodes, alone = Episodes(2), Episodes(1)
    episodes.seed(np.array([7, 8], np.uint64))
    alone.seed(np.array([8], np.uint64))
    first, second = np.array([0]), np.array([1])
    episodes.next(np.array([0, 1]), 50)
    for _ in range(3):
        episodes.next(first, 50)
    alone.next(first, 50)
    assert episodes.next(second, 50) == alone.next(first, 50)


def test_seeding_starts_anew():
    episodes = Episodes(1)
    lane = np.array([0])
    runs = []
    for _ in range(2):
        episodes.seed(np.array([3], np.uint64))
        runs.append([int(episodes.next(lane, 99)[0]) for _ in range(4)])
    assert runs[0] == runs[1]
