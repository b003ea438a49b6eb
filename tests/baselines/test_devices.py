"""The baselines answer wherever images and networks are; the meta device refuses to mix, as an accelerator does."""

import pytest
import torch

from baselines import CameraISP, RandomSearch, StepwisePPO
from isp_gym.benchmark import Training
from isp_gym.budget import Budget
from isp_gym.envs.config import EnvConfig
from isp_gym.modules import get_bank
from isp_gym.pipelines import Pipelines, Rules
from isp_gym.testing import check_agent

CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))
FAST = {"num_envs": 4, "n_steps": 8, "batch_size": 16, "n_epochs": 1}
RULES = {"free": {}, "typed": {"order": "typed"}, "repeats": {"repeats": True, "max_length": 4}}


@pytest.mark.parametrize("options", RULES.values(), ids=RULES)
def test_stepwise_ppo_acts_where_it_is(options):
    setting, agent = EnvConfig(num_scenes=4, image_size=36, **options), StepwisePPO(**FAST)
    agent.train(Training(setting, 0, Budget(8)))
    agent.to("meta")
    shapes = {"image": (3, 3, 36, 36), "used": (3, 10), "step": (3,)}
    observation = {name: torch.zeros(shape, device="meta") for name, shape in shapes.items()}
    tokens, params = agent._act(observation, torch.ones(3, 11, dtype=torch.bool, device="meta"))
    assert tokens.device.type == params.device.type == "meta"
    assert tokens.shape == (3,) and params.shape == (3, setting.rules.bank.num_params)


def test_the_camera_works_where_the_images_are():
    assert CameraISP().enhance(torch.zeros(2, 3, 8, 8, device="meta")).device.type == "meta"


def test_random_search_moves_its_pipeline_to_the_images(monkeypatch):
    rules, moved = Rules(get_bank("stable"), 2), []
    agent = RandomSearch()
    agent.best = Pipelines(rules, torch.tensor([[0, 1]]), torch.rand(1, 2, rules.bank.num_params))
    monkeypatch.setattr(Pipelines, "to", lambda self, device: moved.append(str(device)) or self)
    agent.pipelines(torch.rand(2, 3, 8, 8))
    assert moved == ["cpu"]


@pytest.mark.parametrize("device", [CUDA])
@pytest.mark.parametrize(
    "make", [RandomSearch, lambda: StepwisePPO(**FAST), CameraISP], ids=["random", "ppo", "camera"]
)
def test_training_and_answers(make, device):
    check_agent(make, setting=EnvConfig(num_scenes=8, image_size=36, device=device))


@pytest.mark.parametrize("device", [CUDA])
@pytest.mark.parametrize("make", [RandomSearch, lambda: StepwisePPO(**FAST)], ids=["random", "ppo"])
def test_trained_here_used_there(make, device):
    agent = make()
    training = Training(EnvConfig(num_scenes=4, image_size=36), 0, Budget(64))
    agent.train(training)
    images = training.scenes.batch(range(4)).images
    there = agent.pipelines(images.to(device))
    assert there.tokens.device.type == there.params.device.type == device
    torch.testing.assert_close(there(images.to(device)).cpu(), agent.pipelines(images)(images), rtol=1e-3, atol=1e-3)
