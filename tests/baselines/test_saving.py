"""What is saved does the same when it is read again, whichever agent it is."""

import pytest
import torch

from agents import POSISP
from baselines import RandomSearch, StepwisePPO
from isp_gym.benchmark import Training
from isp_gym.budget import Budget
from isp_gym.envs.setting import Setting
from isp_gym.errors import UserError

SMALL = Setting(num_scenes=8, image_size=36, modules=("exposure", "gamma", "contrast"), max_length=2)
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
        for mine, read in zip(agent.pipelines(images), again.pipelines(images), strict=True):
            assert torch.equal(mine, read)

    def test_a_folder_without_it(self, make, tmp_path):
        with pytest.raises(UserError, match=f"'{tmp_path}' holds no"):
            make().load(tmp_path)


def test_other_settings_do_not_fit(tmp_path):
    agent = POSISP(width=8)
    agent.train(Training(SMALL, 0, Budget(8)))
    agent.save(tmp_path)
    with pytest.raises(UserError, match="of these settings"):
        POSISP().load(tmp_path)
