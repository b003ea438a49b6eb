import pytest
import torch

from isp_gym.benchmark import Training, load_agent
from isp_gym.budget import Budget
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.testing import check_agent


def test_agent_passes_its_check():
    check_agent("cross-entropy")


def test_it_learns_to_brighten():
    torch.manual_seed(0)
    agent = load_agent("cross-entropy")
    training = Training(EnvConfig(data="charts", num_scenes=8, image_size=24), 0, Budget(480))
    agent.train(training)
    exposure = training.bank.slices[training.bank.names.index("exposure")]
    assert agent.mean[exposure] > training.bank.neutral[exposure] + 0.1


def test_a_module_that_the_bank_has_not():
    with pytest.raises(UserError, match="no module 'tone'"):
        load_agent("cross-entropy", {"order": ["tone"]}).check(EnvConfig(modules=["exposure"]))
