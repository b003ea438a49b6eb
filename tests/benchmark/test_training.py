import numpy as np
import pytest
import torch

from isp_gym.benchmark import Training
from isp_gym.budget import Budget, BudgetExhausted
from isp_gym.envs.config import EnvConfig

SMALL = EnvConfig(num_scenes=6, image_size=16)


def test_environments_share_the_budget_and_stop_at_its_end():
    training = Training(SMALL, 0, Budget(10))
    single, vector = training.make("ISP/Sequence-v0"), training.make_vec("ISP/Sequence-v0", 4)
    single.reset(seed=0)
    single.step(single.action_space.sample())
    vector.reset(seed=0)
    vector.step(vector.action_space.sample())
    vector.step(vector.action_space.sample())
    assert training.budget.task_evaluations == 9
    with pytest.raises(BudgetExhausted):
        vector.step(vector.action_space.sample())
    assert training.remaining == 1


def test_environments_have_the_setting_of_the_comparison():
    setting = EnvConfig(num_scenes=6, image_size=24, modules=["exposure", "gamma"], max_length=1)
    env = Training(setting, 0, Budget()).make("ISP/Sequence-v0")
    assert env.observation_space.shape == (3, 24, 24)
    assert env.action_space["sequence"].nvec.tolist() == [3]


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_scenes_at_are_those_that_the_environments_show(seed):
    training = Training(SMALL, seed, Budget())
    env = training.make_vec("ISP/Sequence-v0", 3)
    _, info = env.reset(seed=training.seed)
    seen = [info["scene"], *(env.step(env.action_space.sample())[-1]["scene"] for _ in range(4))]
    assert np.array_equal(seen, [training.scenes_at(torch.arange(3), episode).numpy() for episode in range(5)])
    assert training.scenes_at(2, 4).tolist() == [seen[4][2]]


def test_gradients_reach_the_parameters_and_are_counted():
    training = Training(SMALL, 0, Budget())
    params = training.bank.neutral.repeat(2, 1).requires_grad_()
    pipelines = training.rules.admit(torch.tensor([[0, 10], [1, 10]]), params)
    training.play(training.scenes.batch([0, 1]), pipelines).loss.sum().backward()
    assert (params.grad[0, 0] != 0) and (params.grad[1, 1] != 0)
    assert training.budget.spent.gradient_evaluations == 2


def test_without_a_recorder_nothing_is_kept():
    training = Training(SMALL, 0, Budget())
    training.log(loss=1.0)
    training.checkpoint(object(), None)
    assert training.resume(None) is False
