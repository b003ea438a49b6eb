"""``check_agent`` passes what is sound and catches what is broken, one fault at a time."""

import dataclasses

import numpy as np
import pytest
import torch

import isp_gym  # noqa: F401 (registers the environments)
from isp_gym.envs.setting import Setting
from isp_gym.testing import check_agent


class Fixed:
    """Learns nothing: one exposure for all."""

    def train(self, training):
        self.bank = training.bank
        self.training = training

    def pipelines(self, images):
        end = self.bank.end_token
        return torch.tensor([[0, end]]).repeat(len(images), 1), self.bank.neutral.repeat(len(images), 1)


class TwiceTheSame(Fixed):
    def pipelines(self, images):
        return torch.tensor([[0, 0]]).repeat(len(images), 1), self.bank.neutral.repeat(len(images), 1)


class UnknownToken(Fixed):
    def pipelines(self, images):
        return torch.tensor([[77]]).repeat(len(images), 1), self.bank.neutral.repeat(len(images), 1)


class ParametersOutside(Fixed):
    def pipelines(self, images):
        sequences, params = super().pipelines(images)
        return sequences, params + 1


class OneParameterRow(Fixed):
    def pipelines(self, images):
        sequences, params = super().pipelines(images)
        return sequences, params[:1] if len(images) > 1 else params


class LooksAtTheBatch(Fixed):
    def pipelines(self, images):
        sequences, params = super().pipelines(images)
        params[:, 0] = float(len(images)) / 8
        return sequences, params


class Random(Fixed):
    def pipelines(self, images):
        sequences, params = super().pipelines(images)
        return sequences, torch.rand_like(params)


class ForgetsItsSeed(Fixed):
    def train(self, training):
        super().train(training)
        self.level = float(np.random.default_rng().random())

    def pipelines(self, images):
        sequences, params = super().pipelines(images)
        return sequences, torch.full_like(params, self.level)


class SpendsAtInference(Fixed):
    def pipelines(self, images):
        scenes = self.training.scenes.batch([0] * len(images))
        self.training.transition.loss(images, scenes)
        return super().pipelines(images)


class RaisesItsLimit(Fixed):
    def train(self, training):
        super().train(training)
        training.budget.limit = 10**6


class PeeksAtTheTest(Fixed):
    def train(self, training):
        dataclasses.replace(training.setting, split="test").load_scenes()


class SpoilsImages:
    def train(self, training):
        pass

    def enhance(self, images):
        return images.mul_(0.5)


class CannotTrain:
    def enhance(self, images):
        return images


class LeavesGradientsOff(Fixed):
    def train(self, training):
        super().train(training)
        torch.set_grad_enabled(False)


BROKEN_AGENTS = {
    TwiceTheSame: "twice",
    UnknownToken: r"\[0, 10\]",
    ParametersOutside: r"\[0, 1\]",
    OneParameterRow: "shape",
    LooksAtTheBatch: "rest of the batch",
    Random: "something else",
    ForgetsItsSeed: "same seed",
    SpendsAtInference: "after its training",
    RaisesItsLimit: "limit",
    SpoilsImages: "writes",
    CannotTrain: "train",
    LeavesGradientsOff: "gradients",
}


class TestAgent:
    @pytest.fixture(autouse=True)
    def _gradients_back_on(self):
        yield
        torch.set_grad_enabled(True)

    @pytest.mark.parametrize("sound", ["input", "camera", Fixed])
    def test_a_sound_one_passes(self, sound):
        check_agent(sound, setting=Setting(num_scenes=4, image_size=16), budget=8)

    @pytest.mark.parametrize("broken", BROKEN_AGENTS, ids=lambda cls: cls.__name__)
    def test_it_is_caught(self, broken):
        with pytest.raises(AssertionError, match=BROKEN_AGENTS[broken]):
            check_agent(broken, setting=Setting(num_scenes=4, image_size=16), budget=8)

    def test_test_scenes_are_sealed(self):
        with pytest.raises(Exception, match="sealed"):
            check_agent(PeeksAtTheTest, setting=Setting(num_scenes=4, image_size=16), budget=8)
