import gymnasium as gym
import matplotlib
import numpy as np
import pytest
import torch

from isp_gym.envs.render import draw

matplotlib.use("agg")
FAMILIES = ["ISP/Sequence-v0", "ISP/Stepwise-v0", "ISP/PixelCurve-v0"]


def images(size=16):
    return torch.zeros(3, size, size), torch.full((3, size, size), 0.5), torch.ones(3, size, size)


class TestDraw:
    def test_three_images_and_text(self):
        frame = draw(images(), "heading", ["gamma 1.2"])
        assert frame.dtype == np.uint8
        row = frame[18 + 100]
        assert [int(row[100, 0]), int(row[300, 0]), int(row[500, 0])] == [0, 128, 255]
        assert frame[18 + 224 :].max() > 200

    def test_size_does_not_depend_on_the_text(self):
        shapes = {draw(images(), "h", ["line"] * n).shape for n in (0, 1, 30)}
        assert len(shapes) == 1

    def test_every_line_shows(self):
        short, long = draw(images(), "h", ["gamma 1.2"]), draw(images(), "h", ["gamma 1.2", "exposure +1 EV"])
        assert not np.array_equal(short, long)

    def test_what_is_written_is_what_was_said(self):
        frames = [draw(images(), heading, [line]) for heading, line in (("a", "b"), ("a", "c"), ("d", "b"))]
        assert not np.array_equal(frames[0], frames[1])
        assert not np.array_equal(frames[0], frames[2])

    def test_long_lines_are_fitted(self):
        frame = draw(images(), "h", ["ccm " + "RR 0.33 " * 40])
        assert frame[:, -4:][18 + 224 :].max() < 60

    def test_large_images_are_not_shrunk(self):
        assert draw(images(300), "h", []).shape[1] == 900

    def test_inputs_are_left_alone(self):
        given = images()
        draw(given, "h", [])
        assert all(torch.equal(a, b) for a, b in zip(given, images(), strict=True))


@pytest.mark.parametrize("env_id", FAMILIES)
def test_frames_follow_the_episode(env_id, make):
    env = make(env_id, render_mode="rgb_array", max_length=3)
    env.action_space.seed(1)
    env.reset(seed=0)
    before = env.render()
    env.step(env.action_space.sample())
    after = env.render()
    assert before.dtype == np.uint8
    assert before.shape == after.shape
    assert not np.array_equal(before, after)


@pytest.mark.parametrize("env_id", FAMILIES)
def test_vector_environments_draw_every_sub_environment(env_id, make_vec, make):
    env = make_vec(env_id, 2, render_mode="rgb_array")
    env.reset(seed=5)
    frames = env.render()
    assert len(frames) == 2
    single = make(env_id, render_mode="rgb_array")
    single.reset(seed=6)
    np.testing.assert_array_equal(frames[1], single.render())
    assert make_vec(env_id, 2).render() is None


def test_human_shows_every_step_and_closes(make):
    env = make("ISP/Stepwise-v0", render_mode="human").unwrapped
    shown = []
    env._window.show = shown.append
    env.reset(seed=0)
    env.step({"module": 0, "params": np.full(27, 0.4, np.float32)})
    assert env.render() is None
    assert len(shown) == 2
    env.close()


def test_human_opens_one_window(make):
    import matplotlib.pyplot as plt

    env = gym.make("ISP/Stepwise-v0", render_mode="human", image_size=16, num_scenes=2)
    before = len(plt.get_fignums())
    env.reset(seed=0)
    env.step({"module": 10, "params": np.full(27, 0.4, np.float32)})
    assert len(plt.get_fignums()) == before + 1
    env.close()
    env.close()
    assert len(plt.get_fignums()) == before
