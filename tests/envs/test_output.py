"""output="torch": tensors on the device that nothing else refers to."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from isp_gym.errors import UserError
from isp_gym.testing.compare import difference, plain

IDS = sorted(key for key in gym.registry if key.startswith("ISP/"))


def leaves(value):
    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in leaves(item)]
    return [value]


@pytest.mark.parametrize("env_id", IDS)
def test_everything_is_a_tensor_and_says_the_same(env_id, make_vec):
    arrays, tensors = make_vec(env_id, 2, max_length=2), make_vec(env_id, 2, max_length=2, output="torch")
    arrays.action_space.seed(0)
    said = [(arrays.reset(seed=0), tensors.reset(seed=0))]
    for _ in range(4):
        action = arrays.action_space.sample()
        said.append((arrays.step(action), tensors.step(action)))
    for one, other in said:
        for leaf in [leaf for item in other for leaf in leaves(item)]:
            assert isinstance(leaf, torch.Tensor)
        infos = plain(one[-1]), plain(other[-1])
        for info in infos:
            info.pop("final_obs", None)
        assert not difference([*plain(one[:-1]), infos[0]], [*plain(other[:-1]), infos[1]], 1e-6)


def test_final_observations_are_one_batch(make_vec):
    arrays, tensors = make_vec("ISP/Stepwise-v0", 3), make_vec("ISP/Stepwise-v0", 3, output="torch")
    action = {"module": np.array([0, 10, 10]), "params": np.full((3, 27), 0.4, np.float32)}
    for env in (arrays, tensors):
        env.reset(seed=0)
    one, other = arrays.step(action)[4], tensors.step({k: torch.from_numpy(v) for k, v in action.items()})[4]
    assert other["_final_obs"].tolist() == [False, True, True]
    for i in (1, 2):
        np.testing.assert_array_equal(one["final_obs"][i]["image"], other["final_obs"]["image"][i])


def test_a_single_environment_too(make):
    env = make("ISP/Sequence-v0", output="torch", disable_env_checker=True)
    observation, _ = env.reset(seed=0)
    assert isinstance(observation, torch.Tensor)
    observation, reward, *_ = env.step(env.action_space.sample())
    assert isinstance(observation, torch.Tensor)
    assert type(reward) is float


def test_another_output_is_unknown(make):
    with pytest.raises(UserError, match="numpy"):
        make("ISP/Sequence-v0", output="jax")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("env_id", IDS)
def test_on_the_gpu(env_id, make_vec):
    cpu, gpu = make_vec(env_id, 3), make_vec(env_id, 3, device="cuda", output="torch")
    cpu.action_space.seed(0)
    one, other = cpu.reset(seed=0), gpu.reset(seed=0)
    for _ in range(4):
        action = cpu.action_space.sample()
        assert leaves(other[0])[0].device.type == "cuda"
        assert not difference(plain(one[:-1]), plain(other[:-1]), 1e-3)
        one, other = cpu.step(action), gpu.step(action)
