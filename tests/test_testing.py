"""The public checks pass what is sound and catch what is broken, one fault at a time."""

import dataclasses
from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

import isp_gym  # noqa: F401 (registers the environments)
from isp_gym.envs.setting import Setting
from isp_gym.modules import BANKS
from isp_gym.modules.base import Module, Parameter
from isp_gym.tasks import Enhancement
from isp_gym.testing import check_agent, check_module, check_task, check_vector_env

IDS = sorted(key for key in gym.registry if key.startswith("ISP/"))


class TestVectorEnvOfOurs:
    @pytest.mark.parametrize("output", ["numpy", "torch"])
    @pytest.mark.parametrize("env_id", IDS)
    def test_every_registered_environment_passes(self, env_id, output):
        options = {"image_size": 16, "num_scenes": 6, "modules": ["exposure", "gamma", "tone"]}
        check_vector_env(gym.make_vec(env_id, 2, output=output, **options), options={"scene": 3}, steps=12)

    @pytest.mark.parametrize(
        "options", [{"dense": False}, {"order": "typed"}, {"objective": {"gradient": 1, "anchor": 1}}]
    )
    def test_options_pass(self, options):
        check_vector_env(gym.make_vec("ISP/Stepwise-v0", 2, image_size=16, num_scenes=6, **options), steps=12)

    def test_gymnasium_own_environments_pass(self):
        check_vector_env(gym.make_vec("CartPole-v1", 2, vectorization_mode="sync"), steps=60)  # NEXT_STEP

    def test_an_id_will_do(self):
        gym.register("Toy-v0", entry_point=Toy, vector_entry_point=ToyVector)
        try:
            check_vector_env("Toy-v0")
        finally:
            gym.registry.pop("Toy-v0")

    def test_what_cannot_be_made_again_is_refused(self):
        with pytest.raises(TypeError, match="spec"):
            check_vector_env(ToyVector(2))
        with pytest.raises(TypeError, match="single"):
            check_vector_env(ToyVector)


class Toy(gym.Env):
    """Counts up by the action from a random start; an episode ends at 3."""

    observation_space = gym.spaces.Box(-100, 100, (2,), np.float32)
    action_space = gym.spaces.Box(0.0, 1.0, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = np.array([self.np_random.random(), 0], np.float32)
        return self.state.copy(), {"start": float(self.state[0])}

    def step(self, action):
        self.state = self.state + np.float32([action[0], 1])
        return self.state.copy(), float(self.state[0]), bool(self.state[0] > 3), False, {"start": 0.0}


class ToyVector(VectorEnv):
    """The same, n at a time, sound; each class below breaks one thing."""

    metadata: ClassVar = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, num_envs):
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = Toy.observation_space, Toy.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def seeds(self, seed):
        return seed if isinstance(seed, list) else [None if seed is None else seed + i for i in range(self.num_envs)]

    def start(self, i):
        self.state[i] = [self.rngs[i].random(), 0]

    def reset(self, *, seed=None, options=None):
        seeds = self.seeds(seed)
        if not hasattr(self, "rngs") or seeds[0] is not None:
            self.rngs = [gym.utils.seeding.np_random(s)[0] for s in seeds]
        self.state = np.zeros((self.num_envs, 2), np.float32)
        for i in range(self.num_envs):
            self.start(i)
        return self.state.copy(), {"start": self.state[:, 0].astype(float), "_start": np.ones(self.num_envs, bool)}

    def rewards(self):
        return self.state[:, 0].astype(np.float64)

    def ended(self):
        return self.state[:, 0] > 3

    def step(self, actions):
        self.state = self.state + np.concatenate([actions, np.ones_like(actions)], 1)
        rewards, ended = self.rewards(), self.ended()
        info = self.end(ended)
        starts = np.where(ended, self.state[:, 0], 0).astype(float)
        info |= {"start": starts, "_start": np.ones(self.num_envs, bool)}
        return self.state.copy(), rewards, ended, np.zeros_like(ended), info

    def end(self, ended):
        if not ended.any():
            return {}
        last = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(ended):
            last[i] = self.state[i].copy()
            self.start(i)
        final = {"start": np.zeros(self.num_envs), "_start": ended.copy()}
        return {"final_obs": last, "_final_obs": ended.copy(), "final_info": final, "_final_info": ended.copy()}


class NoAutoresetMode(ToyVector):
    metadata: ClassVar = {"autoreset_mode": "same-step"}


class WrongSpace(ToyVector):
    def __init__(self, num_envs):
        super().__init__(num_envs)
        self.action_space = self.single_action_space


class OutsideItsSpace(ToyVector):
    def start(self, i):
        self.state[i] = [1000 + self.rngs[i].random(), 0]


class IntegerRewards(ToyVector):
    def rewards(self):
        return np.zeros(self.num_envs, int)


class NaNRewards(ToyVector):
    def rewards(self):
        return np.full(self.num_envs, np.nan)


class ColumnRewards(ToyVector):
    def rewards(self):
        return super().rewards()[:, None]


class SeedIgnored(ToyVector):
    def seeds(self, seed):
        return [None] * self.num_envs


class SeedConstant(ToyVector):
    def seeds(self, seed):
        return list(range(self.num_envs))


class SeedForFirstLaneOnly(ToyVector):
    def seeds(self, seed):
        return seed if isinstance(seed, list) else [seed] * self.num_envs


class StartsAnewWithoutSeed(ToyVector):
    def seeds(self, seed):
        self.last = seed if seed is not None else self.last
        return super().seeds(self.last)


class LanesCoupled(ToyVector):
    def rewards(self):
        return super().rewards() - super().rewards().mean()


class LanesShareARandomStream(ToyVector):
    def start(self, i):
        self.state[i] = [self.rngs[0].random(), 0]


class NoFinalObservation(ToyVector):
    def end(self, ended):
        out = super().end(ended)
        out.pop("final_obs", None)
        out.pop("_final_obs", None)
        return out


class FinalObservationOfTheNextEpisode(ToyVector):
    def end(self, ended):
        out = super().end(ended)
        for i in np.flatnonzero(ended):
            out["final_obs"][i] = self.state[i].copy()
        return out


class NeverResets(ToyVector):
    def end(self, ended):
        before = self.state.copy()
        out = super().end(ended)
        self.state = before
        return out


class OtherRewardThanSingle(ToyVector):
    def rewards(self):
        return super().rewards() * 1.01


class ReusesItsObservation(ToyVector):
    def step(self, actions):
        observation, *rest = super().step(actions)
        self.buffer = getattr(self, "buffer", observation)
        self.buffer[...] = observation
        return self.buffer, *rest


class HandsOutItsState(ToyVector):
    def step(self, actions):
        _, *rest = super().step(actions)
        return self.state, *rest


class HandsOutItsStateAsTensor(ToyVector):
    def step(self, actions):
        _, *rest = super().step(actions)
        return torch.from_numpy(self.state), *rest


class HandsOutAMaskTwice(ToyVector):
    def step(self, actions):
        out = super().step(actions)
        self.mask = getattr(self, "mask", out[2])
        self.mask[...] = out[2]
        return *out[:2], self.mask, *out[3:]


class WritesToItsActions(ToyVector):
    def step(self, actions):
        out = super().step(actions)
        actions *= 0.5
        return out


class PopsItsOptions(ToyVector):
    def reset(self, *, seed=None, options=None):
        (options or {}).pop("scene", None)
        return super().reset(seed=seed)


class InfoWithoutMask(ToyVector):
    def step(self, actions):
        *out, info = super().step(actions)
        del info["_start"]
        return *out, info


BROKEN_ENVS = {
    NoAutoresetMode: "autoreset_mode",
    WrongSpace: "action_space",
    OutsideItsSpace: "observation_space",
    IntegerRewards: "int",
    NaNRewards: "finite",
    ColumnRewards: "shape",
    SeedIgnored: "same seed",
    SeedConstant: "another seed",
    SeedForFirstLaneOnly: r"s \+ 1",
    StartsAnewWithoutSeed: "anew",
    LanesCoupled: "how many",
    LanesShareARandomStream: r"how many|SyncVectorEnv",
    NoFinalObservation: "SyncVectorEnv",
    FinalObservationOfTheNextEpisode: "SyncVectorEnv",
    NeverResets: "SyncVectorEnv",
    OtherRewardThanSingle: "SyncVectorEnv",
    ReusesItsObservation: "has changed since",
    HandsOutItsState: "writing to",
    HandsOutItsStateAsTensor: "writing to",
    HandsOutAMaskTwice: "has changed since",
    WritesToItsActions: "changes its actions",
    PopsItsOptions: "changes its options",
    InfoWithoutMask: "mask",
}


class TestBrokenVectorEnv:
    def test_the_sound_one_passes(self):
        check_vector_env(ToyVector, Toy, options={"scene": 1})

    @pytest.mark.parametrize("broken", BROKEN_ENVS, ids=lambda cls: cls.__name__)
    def test_it_is_caught(self, broken):
        with pytest.raises(AssertionError, match=BROKEN_ENVS[broken]):
            check_vector_env(broken, Toy, options={"scene": 1})

    def test_too_few_steps_are_not_taken_for_success(self):
        with pytest.raises(AssertionError, match="raise steps"):
            check_vector_env(ToyVector, Toy, steps=2)


def module(apply, **changes):
    parameters = (Parameter("gain", "", 0.5, 2.0, neutral=1.0),)
    sound = Module("gain", parameters, apply, needs="any", gives="any", clamps=False, formula="g x", reference="here")
    return dataclasses.replace(sound, **changes)


def gain(x, p):
    return x * p[:, :, None, None]


class FlippedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * -2


def writes_to_input(x, p):
    with torch.no_grad():
        x.mul_(0.5)
    return gain(x, p)


BROKEN_MODULES = {
    "mean over the batch": (module(lambda x, p: gain(x, p) - x.mean()), "batch"),
    "parameters of the first image": (module(lambda x, p: gain(x, p[:1])), "batch"),
    "writes to its input": (module(writes_to_input), "writes to its input"),
    "another dtype": (module(lambda x, p: gain(x, p).float()), "float64"),
    "crops": (module(lambda x, p: gain(x, p)[..., 1:]), "became"),
    "square images only": (module(lambda x, p: gain(x, p).transpose(2, 3)), "became"),
    "random": (module(lambda x, p: gain(x, p) + torch.rand(1, dtype=x.dtype) * 1e-3), "another output"),
    "not finite at black": (module(lambda x, p: gain(x, p).log()), "finite"),
    "does not clamp": (module(gain, clamps=True), "clamps"),
    "wrong gradient": (module(lambda x, p: gain(FlippedGradient.apply(x), p)), "gradients"),
    "no gradient": (module(lambda x, p: gain(x, p.detach()) + 0 * p.sum()), "gradients"),
    "no parameter": (module(gain, parameters=()), "parameter"),
    "unknown light": (module(gain, needs="dark"), "needs"),
    "neutral outside": (module(gain, parameters=(Parameter("g", "", 0.5, 2, neutral=3),)), "neutral"),
}


class TestModule:
    @pytest.mark.parametrize("sound", [m for bank in BANKS.values() for m in bank], ids=lambda m: m.name)
    def test_every_module_passes(self, sound):
        check_module(sound)

    def test_the_sound_one_passes(self):
        check_module(module(gain))

    @pytest.mark.parametrize("kind", BROKEN_MODULES)
    def test_it_is_caught(self, kind):
        broken, message = BROKEN_MODULES[kind]
        with pytest.raises(AssertionError, match=message):
            check_module(broken)


class BatchMean(Enhancement):
    def loss(self, images, scenes):
        return super().loss(images, scenes).mean().expand(len(images))


class ScalarLoss(Enhancement):
    def loss(self, images, scenes):
        return super().loss(images, scenes).mean()


class NoClip(Enhancement):
    def loss(self, images, scenes):
        return (images - scenes.targets).square().mean(dim=(1, 2, 3))


class NoGradient(Enhancement):
    def loss(self, images, scenes):
        return super().loss(images.detach(), scenes)


class NaNLoss(Enhancement):
    def loss(self, images, scenes):
        return super().loss(images, scenes) / 0 * 0


class ScoreMissing(Enhancement):
    score = "box_map"


class SinglePrecisionMetrics(Enhancement):
    def metrics(self, images, scenes):
        return {key: value.float() for key, value in super().metrics(images, scenes).items()}


class MetricOfTheBatch(Enhancement):
    def metrics(self, images, scenes):
        psnr = super().metrics(images, scenes)["psnr"]
        return {"psnr": psnr - psnr.mean()}


class WritesToItsImages(Enhancement):
    def loss(self, images, scenes):
        with torch.no_grad():
            images += 0.01
        return super().loss(images, scenes)


BROKEN_TASKS = {
    BatchMean: "batch",
    ScalarLoss: "shape",
    NoClip: "clip",
    NoGradient: "gradient",
    NaNLoss: "finite",
    ScoreMissing: "box_map",
    SinglePrecisionMetrics: "float64",
    MetricOfTheBatch: "batch",
    WritesToItsImages: r"writes|another loss",
}


class TestTask:
    def test_enhancement_passes(self):
        check_task(Enhancement())

    @pytest.mark.parametrize("broken", BROKEN_TASKS, ids=lambda cls: cls.__name__)
    def test_it_is_caught(self, broken):
        with pytest.raises(AssertionError, match=BROKEN_TASKS[broken]):
            check_task(broken())


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
