"""``check_agent`` passes what is sound and catches what is broken, one fault at a time."""

import dataclasses
import pickle
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import isp_gym  # noqa: F401 (registers the environments)
from baselines import CameraJPEG, Original, StepwisePPO
from isp_gym.benchmark import Agent
from isp_gym.benchmark.agent import agent_names
from isp_gym.data import MemoryStore, SceneSet, load_scenes
from isp_gym.envs.config import EnvConfig
from isp_gym.modules import get_bank
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
    """The second time is dropped, as in the environments."""

    def pipelines(self, images):
        return torch.tensor([[0, 0]]).repeat(len(images), 1), self.bank.neutral.repeat(len(images), 1)


class AnswersWithAList(Fixed):
    def pipelines(self, images):
        return list(super().pipelines(images))


class AnswersStepByStep(Fixed):
    def pipelines(self, images):
        tokens = torch.tensor([[0, 1]]).repeat(len(images), 1)
        return tokens, self.bank.neutral.repeat(len(images), 2, 1)


class TooLong(Fixed):
    def pipelines(self, images):
        tokens = torch.arange(11).remainder(10).repeat(len(images), 1)
        return tokens, self.bank.neutral.repeat(len(images), 1)


class OnlyTokens(Fixed):
    def pipelines(self, images):
        return super().pipelines(images)[0]


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


class RaisesItsStepLimit(Fixed):
    def train(self, training):
        super().train(training)
        training.budget.step_limit = None


class StepsForNothing(Fixed):
    def train(self, training):
        while True:
            training.budget.step(4)


class SpendsAroundItsBudget(Fixed):
    """With a transition of its own, which the metric of the run counts all the same."""

    def pipelines(self, images):
        transition = self.training.setting.make_transition()
        transition.loss(images, transition.scenes.batch([0] * len(images)))
        return super().pipelines(images)


class Learns(Agent):
    """A sound agent that learns a level in steps and can be interrupted; each class below breaks one thing."""

    exact_resume = True

    def train(self, training):
        self.bank, self.level, self.learner = training.bank, torch.rand(1), Level(self)
        self.go_on(training)
        for i in range(self.learner.iteration, 4):
            scene = training.scenes.batch([i])
            training.transition.loss(scene.images, scene)
            self.level = (self.level + torch.rand(1)) / 2
            self.learner.iteration = i + 1
            training.checkpoint(self, self.learner)

    def go_on(self, training):
        training.resume(self.learner)

    def pipelines(self, images):
        tokens = torch.zeros(len(images), 1, dtype=torch.int64)
        return tokens, self.level.expand(len(images), self.bank.num_params)

    def state(self):
        return {"level": self.level, "bank": self.bank.name}

    def load_state(self, state):
        self.level, self.bank = state["level"], get_bank(state["bank"])


class Level:
    def __init__(self, agent):
        self.agent, self.iteration = agent, 0

    def state_dict(self):
        return {"level": self.agent.level, "iteration": self.iteration}

    def load_state_dict(self, state):
        self.agent.level, self.iteration = state["level"], state["iteration"]


class NeverResumes(Learns):
    def go_on(self, training):
        pass


class ForgetsWhenInterrupted(Learns):
    def go_on(self, training):
        if training.resume(self.learner):
            self.level = torch.rand(1)


class StartsAnew(Learns):
    def go_on(self, training):
        training.resume(self.learner)
        self.learner.iteration = 0


class ForgetsWhenSaved(Learns):
    def state(self):
        return {**super().state(), "level": torch.zeros(1)}


class Pickles(Learns):
    def save(self, folder):
        (folder / "policy.bin").write_bytes(pickle.dumps(self.state()))


class SavesWithTorch(Learns):
    def save(self, folder):
        torch.save(self.state(), folder / "policy.weights")


class NaNInItsCard(Learns):
    def state(self):
        return {**super().state(), "score": float("nan")}


class ReadsScenesToLoad(Learns):
    def load_state(self, state):
        load_scenes(count=1, image_size=16)
        super().load_state(state)


class LogsNoNumber(Learns):
    def train(self, training):
        training.log(loss=float("nan"))
        super().train(training)


class NaNDiagnostics(Learns):
    def diagnostics(self):
        return {"entropy": float("nan")}


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


class EndsThePipelineFirst(Fixed):
    """What stands after an end token is no part of the pipeline."""

    def pipelines(self, images):
        tokens, params = super().pipelines(images)
        return tokens.flip(1), params


BROKEN_AGENTS = {
    UnknownToken: r"\[0, 10\]",
    TooLong: "more than 10 modules",
    OnlyTokens: "its pipelines are none",
    ParametersOutside: r"\[0, 1\]",
    OneParameterRow: "shape",
    LooksAtTheBatch: "rest of the batch",
    Random: "something else",
    ForgetsItsSeed: "same seed",
    SpendsAtInference: "after its training",
    SpendsAroundItsBudget: "after its training",
    RaisesItsLimit: "limit",
    RaisesItsStepLimit: "limit",
    StepsForNothing: "neither ends nor spends: 160 environment steps for 0 of 8",
    SpoilsImages: "writes",
    CannotTrain: r"'CannotTrain' has no method train",
    LeavesGradientsOff: "gradients",
    NeverResumes: "never calls training.resume",
    ForgetsWhenInterrupted: "interrupted and resumed it does something else",
    StartsAnew: "interrupted and resumed it has spent",
    ForgetsWhenSaved: "saved and loaded again it does something else",
    Pickles: "policy.bin as a pickle",
    SavesWithTorch: "policy.weights as a pickle",
    NaNInItsCard: "holds NaN",
    LogsNoNumber: "loss=nan",
    NaNDiagnostics: "diagnostics are not finite",
}
SMALL = EnvConfig(num_scenes=4, image_size=16)
# StepwisePPO's network takes no images smaller than 36 pixels.
PLACES = {
    "free": EnvConfig(num_scenes=8, image_size=36),
    "typed": EnvConfig(num_scenes=8, image_size=36, order="typed"),
    "repeats": EnvConfig(
        num_scenes=8, image_size=36, repeats=True, modules=("exposure", "gamma", "tone"), max_length=5
    ),
    "both": EnvConfig(num_scenes=8, image_size=36, order="typed", repeats=True, max_length=5),
}


class TestAgent:
    @pytest.fixture(autouse=True)
    def _gradients_back_on(self):
        yield
        torch.set_grad_enabled(True)

    @pytest.mark.parametrize(
        "sound", [Fixed, TwiceTheSame, AnswersWithAList, AnswersStepByStep, EndsThePipelineFirst, Learns]
    )
    def test_a_sound_one_passes(self, sound):
        check_agent(sound, setting=SMALL, budget=8)

    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("name", sorted({*agent_names(), "original"} - {"camera-jpeg"}))
    def test_every_registered_agent_passes(self, name, place):
        small = partial(StepwisePPO, num_envs=4, n_steps=8, batch_size=16, n_epochs=1)
        agent = {"stepwise-ppo": small, "original": Original}
        check_agent(agent.get(name, name), setting=PLACES[place], budget=48)

    def test_the_camera_passes_where_the_data_has_its_images(self, monkeypatch):
        raw, camera = torch.rand(2, 4, 3, 16, 16)
        scenes = SceneSet(MemoryStore(raw, camera, camera), list("abcd"), list("abcd"), "train", "mine")
        monkeypatch.setattr("isp_gym.envs.config.load_scenes", lambda *_: scenes)
        check_agent("camera-jpeg", setting=SMALL, budget=8)

    def test_the_camera_needs_data_with_its_images(self):
        with pytest.raises(AssertionError, match="observes 'camera', which data=photos has not"):
            check_agent(CameraJPEG, setting=SMALL, budget=8)

    @pytest.mark.parametrize("place", PLACES)
    def test_the_agent_of_the_readme_passes(self, place):
        readme = (Path(__file__).parents[2] / "README.md").read_text()
        (code,) = re.findall(r"```python\n(# my_agent.py.*?)```", readme, re.S)
        scope: dict = {}
        exec(code, scope)
        check_agent(scope["BestOfMany"], setting=PLACES[place], budget=24)

    @pytest.mark.parametrize("broken", BROKEN_AGENTS, ids=lambda cls: cls.__name__)
    def test_it_is_caught(self, broken):
        with pytest.raises(AssertionError, match=BROKEN_AGENTS[broken]):
            check_agent(broken, setting=SMALL, budget=8)

    def test_pipelines_that_the_order_refuses_in_whole_are_caught(self):
        tokens = [get_bank("stable").names.index("gamma")]

        class NeedsDisplayFirst(Fixed):
            def pipelines(self, images):
                return torch.tensor([tokens]).repeat(len(images), 1), self.bank.neutral.repeat(len(images), 1)

        bank, start = get_bank("stable"), torch.zeros(1, get_bank("stable").num_modules, dtype=torch.bool)
        tokens[0] = int(torch.nonzero(~bank.typed_mask(start)[0])[0])
        check_agent(NeedsDisplayFirst, setting=SMALL, budget=8)
        with pytest.raises(AssertionError, match=r"every step of its pipelines is refused by the rules \(order=typed"):
            check_agent(NeedsDisplayFirst, setting=dataclasses.replace(SMALL, order="typed"), budget=8)

    def test_a_checkpoint_without_a_learner_is_caught(self):
        class NoLearner(Learns):
            def train(self, training):
                super().train(training)
                for _ in range(9):
                    training.checkpoint(self)

        with pytest.raises(AssertionError, match="hands no learner"):
            check_agent(NoLearner, setting=SMALL, budget=8)

    @pytest.mark.parametrize("split", ["validation", "test"])
    def test_scenes_to_measure_with_are_sealed(self, split):
        class Peeks(Fixed):
            def train(self, training):
                dataclasses.replace(training.setting, split=split).load_scenes()

        with pytest.raises(Exception, match="sealed"):
            check_agent(Peeks, setting=SMALL, budget=8)

    def test_no_scene_is_read_to_load_a_policy(self):
        with pytest.raises(Exception, match="sealed"):
            check_agent(ReadsScenesToLoad, setting=SMALL, budget=8)
