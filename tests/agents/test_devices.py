"""Nothing is left behind on the CPU: the meta device refuses to mix, as an accelerator does."""

import pytest
import torch

from agents import POSISP
from agents.sequence.networks import POLICIES, squash
from isp_gym.envs.config import EnvConfig
from isp_gym.modules import get_bank
from isp_gym.pipelines import Rules
from isp_gym.testing import check_agent

RULES = {
    "free": Rules(get_bank("stable"), 4),
    "typed": Rules(get_bank("stable"), 4, domain_constrained=True),
    "repeats": Rules(get_bank("stable"), 4, repeats=True),
}


def test_the_meta_device_refuses_to_mix():
    with pytest.raises(RuntimeError, match="device"):
        torch.zeros(2, device="meta") + torch.zeros(2)


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("kind", POLICIES)
def test_sequence_policies(kind, rules):
    policy = POLICIES[kind](rules.bank.num_modules, rules.max_length, rules.allowed).to("meta")
    tokens = torch.zeros(3, 4, dtype=torch.int64, device="meta")
    for sampled in (policy.sample(3), policy.evaluate(tokens)):
        assert {value.device.type for value in sampled} == {"meta"}
    assert policy.greedy().device.type == "meta"


@pytest.mark.parametrize("condition", [False, True])
def test_parameter_predictor(condition):
    agent = POSISP(condition=condition)
    agent.build(RULES["free"])
    predictor, images = agent.predictor.to("meta"), torch.zeros(2, 3, 16, 16, device="meta")
    tokens = torch.zeros(3, 4, dtype=torch.int64, device="meta")
    pretanh = predictor.pretanh(images, tokens, torch.zeros(3, dtype=torch.int64, device="meta"))
    assert squash(pretanh).device.type == "meta" and predictor(images, tokens[:2]).device.type == "meta"


@pytest.mark.parametrize(
    "device", [pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]
)
@pytest.mark.parametrize("options", [{}, {"condition": True, "policy": "markov", "algorithm": "grpo", "kl_coef": 0.1}])
def test_training_and_answers(options, device):
    check_agent(lambda: POSISP(**options), setting=EnvConfig(num_scenes=8, image_size=32, device=device))


@pytest.mark.parametrize(
    "device", [pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]
)
def test_networks_and_images_on_different_devices(device):
    agent, images = POSISP(), torch.rand(2, 3, 16, 16)
    agent.build(RULES["free"])
    expected = agent.enhance(images)
    pipelines = agent.pipelines(images.to(device))
    assert pipelines.tokens.device == pipelines.params.device == images.to(device).device
    agent.to(device)
    torch.testing.assert_close(agent.enhance(images), expected, rtol=1e-3, atol=1e-3)
