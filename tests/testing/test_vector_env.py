"""``check_vector_env`` passes what is sound and catches what is broken, one fault at a time."""

from typing import ClassVar

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

import isp_gym  # noqa: F401 (registers the environments)
from isp_gym.testing import check_vector_env

IDS = sorted(key for key in gym.registry if key.startswith("ISP/"))


class TestVectorEnvOfOurs:
    @pytest.mark.parametrize("output", ["numpy", "torch"])
    @pytest.mark.parametrize("env_id", IDS)
    def test_every_registered_environment_passes(self, env_id, output):
        options = {"image_size": 16, "num_scenes": 6, "modules": ["exposure", "gamma", "tone"]}
        check_vector_env(gym.make_vec(env_id, 2, output=output, **options), options={"scene": 3}, steps=12)

    @pytest.mark.parametrize(
        "options",
        [
            {"dense": False},
            {"order": "typed"},
            {"repeats": True},
            {"repeats": True, "order": "typed", "max_length": 13},
            {"objective": {"gradient": 1, "anchor": 1}},
        ],
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


class OfAnotherType(ToyVector):
    def step(self, actions):
        observation, *rest = super().step(actions)
        return observation.astype(np.float64), *rest


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
    OfAnotherType: "observation_space",
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
