"""What is saved does the same when it is read again, whichever agent it is."""

import pytest
import torch

from agents import POSISP
from baselines import RandomSearch, StepwisePPO
from isp_gym.benchmark import Training
from isp_gym.budget import Budget
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError

SMALL = EnvConfig(num_scenes=8, image_size=36, modules=("exposure", "gamma", "contrast"), max_length=2)
AGENTS = {
    "random": lambda: RandomSearch(8),
    "stepwise-ppo": lambda: StepwisePPO(num_envs=4, n_steps=8, batch_size=16, n_epochs=1),
    "posisp": POSISP,
    "posisp-table": lambda: POSISP(policy="table", condition=True, width=8),
}


@pytest.mark.parametrize("make", AGENTS.values(), ids=AGENTS)
class TestSaving:
    def test_read_again_it_does_the_same(self, make, tmp_path):
        agent, training = make(), Training(SMALL, 0, Budget(64))
        agent.train(training)
        agent.save(tmp_path)
        again = make()
        again.load(tmp_path)
        images = training.scenes.batch(range(4)).images
        mine, read = agent.pipelines(images), again.pipelines(images)
        assert [mine.record(i) for i in range(4)] == [read.record(i) for i in range(4)]
        assert torch.equal(mine(images), read(images))

    def test_a_folder_without_it(self, make, tmp_path):
        with pytest.raises(UserError, match=f"'{tmp_path}' holds no"):
            make().load(tmp_path)


@pytest.mark.parametrize("make", AGENTS.values(), ids=AGENTS)
def test_neither_data_nor_device_nor_random_numbers_of_the_training_are_needed(make, tmp_path, monkeypatch):
    agent = make()
    agent.train(Training(SMALL, 0, Budget(32)))
    agent.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["policy.json", "policy.safetensors"]

    def refuse(*_, **__):
        raise AssertionError("loading a policy asks for its training's data, device or environment")

    for name in ("check_data", "check_device", "load_scenes"):
        monkeypatch.setattr(f"isp_gym.envs.config.{name}", refuse)
    monkeypatch.setattr("gymnasium.make_vec", refuse)
    make().load(tmp_path)


def test_options_that_contradict_are_named(tmp_path):
    agent = StepwisePPO(num_envs=4, n_steps=8, batch_size=16, n_epochs=1)
    agent.train(Training(SMALL, 0, Budget(32)))
    agent.save(tmp_path)
    again = StepwisePPO()
    again.load(tmp_path)
    assert again.options == agent.options
    with pytest.raises(UserError, match=r"gamma=0\.9 contradicts the saved policy's gamma=1\.0"):
        StepwisePPO(gamma=0.9).load(tmp_path)


def test_the_policy_of_another_agent_is_refused(tmp_path):
    agent = RandomSearch(8)
    agent.train(Training(SMALL, 0, Budget(8)))
    agent.save(tmp_path)
    for other in (POSISP(), StepwisePPO()):
        with pytest.raises(UserError, match=f"'{tmp_path}' holds something else than this {type(other).__name__}"):
            other.load(tmp_path)
