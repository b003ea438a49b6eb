import gymnasium as gym
import numpy as np
import pytest

import isp_gym  # noqa: F401 (registers the environments)
from isp_gym.envs.setting import Setting
from isp_gym.errors import UserError


class TestData:
    @pytest.mark.parametrize(
        ("options", "data"),
        [
            ({}, "photos"),
            ({"task": "detection"}, "synthetic"),
            ({"task": "segmentation:x.pt"}, "synthetic"),
            ({"task": "detection", "data": "skimage"}, "skimage"),
        ],
    )
    def test_is_by_default_what_suits_the_task(self, options, data):
        assert Setting.of(options).data == data

    def test_the_scenes_come_from_there(self):
        scenes = Setting(task="segmentation", image_size=16, num_scenes=2).load_scenes()
        assert scenes.data == "synthetic" and scenes[0].objects is not None

    def test_a_task_that_does_not_exist_is_what_is_named(self):
        with pytest.raises(UserError, match="unknown task 'detektion'"):
            Setting.of({"task": "detektion"})


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_an_environment_for_a_task_with_a_network(task):
    env = gym.make("ISP/Sequence-v0", task=task, image_size=32, num_scenes=2)
    env.reset(seed=0)
    env.action_space.seed(0)
    *_, reward, terminated, _, _ = env.step(env.action_space.sample())
    assert np.isfinite(reward) and terminated and reward != 0
