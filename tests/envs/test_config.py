import copy
import dataclasses
import json
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec

import isp_gym  # noqa: F401 (registers the environments)
from isp_gym.envs.config import EnvConfig
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
        assert EnvConfig.of(options).data == data

    def test_the_scenes_come_from_there(self):
        scenes = EnvConfig(task="segmentation", image_size=16, num_scenes=2).load_scenes()
        assert scenes.data == "synthetic" and scenes[0].objects is not None

    def test_a_task_that_does_not_exist_is_what_is_named(self):
        with pytest.raises(UserError, match="unknown task 'detektion'"):
            EnvConfig.of({"task": "detektion"})


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_an_environment_for_a_task_with_a_network(task):
    env = gym.make("ISP/Sequence-v0", task=task, image_size=32, num_scenes=2)
    env.reset(seed=0)
    env.action_space.seed(0)
    *_, reward, terminated, _, _ = env.step(env.action_space.sample())
    assert np.isfinite(reward) and terminated and reward != 0


class TestValue:
    """A setting stays plain values, whether its rules have been asked for or not."""

    SETTING = EnvConfig(
        image_size=16, num_scenes=3, modules=["exposure", "gamma"], max_length=4, order="typed", repeats=True
    )

    def used(self):
        setting = copy.copy(self.SETTING)
        assert setting.rules is setting.rules
        return setting

    def test_rules_are_made_once_and_say_what_was_set(self):
        rules = self.used().rules
        assert rules.bank.names == ("exposure", "gamma")
        assert (rules.max_length, rules.domain_constrained, rules.repeats) == (4, True, True)
        assert EnvConfig(modules=["gamma"]).rules.max_length == EnvConfig(modules=["gamma"]).length == 1

    def test_fields_and_equality(self):
        fresh, used = dataclasses.replace(self.SETTING), self.used()
        assert dataclasses.asdict(used) == dataclasses.asdict(fresh)
        assert json.loads(json.dumps(dataclasses.asdict(used))) == dataclasses.asdict(fresh)
        assert used == fresh == EnvConfig.of(dataclasses.asdict(used))
        assert repr(used) == repr(fresh)

    @pytest.mark.parametrize("twin", [copy.deepcopy, copy.copy, lambda setting: pickle.loads(pickle.dumps(setting))])
    def test_copies(self, twin):
        other = twin(self.used())
        assert other == self.SETTING
        assert other.rules.bank.names == ("exposure", "gamma")
        assert (other.rules.max_length, other.rules.domain_constrained, other.rules.repeats) == (4, True, True)

    def test_another_one_has_other_rules(self):
        assert not dataclasses.replace(self.used(), repeats=False).rules.repeats

    def test_through_gymnasium(self):
        env = gym.make("ISP/Stepwise-v0", **dataclasses.asdict(self.used()))
        again = gym.make(EnvSpec.from_json(env.spec.to_json()))
        for each in (env, again):
            assert each.unwrapped.transition.rules.repeats
            assert each.unwrapped.transition.rules.max_length == 4
