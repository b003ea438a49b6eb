import sys

import pytest
import torch

from isp_gym.benchmark import load_agent
from isp_gym.benchmark.agent import agent_names
from isp_gym.errors import UserError


@pytest.mark.parametrize("name", ["input", "camera", "random", "stepwise-ppo", "posisp"])
def test_our_agents_are_registered_and_load_with_their_defaults(name):
    assert name in agent_names()
    assert callable(load_agent(name).train)


def test_class_from_a_module_in_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "mine_for_test.py").write_text(
        "class Half:\n    def train(self, training): pass\n    def enhance(self, images): return images / 2\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    agent = load_agent("mine_for_test:Half")
    assert torch.equal(agent.enhance(torch.ones(1)), torch.tensor([0.5]))


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("posips", {}, "unknown agent 'posips'; did you mean 'posisp'"),
        ("no_such_module:Agent", {}, "cannot import agent 'no_such_module:Agent'"),
        ("baselines.fixed:Camera", {}, "no class 'Camera'"),
        ("camera", {"gain": 2}, "agent 'camera' does not take its options.*gain"),
        ("pathlib:Path", {}, "no method train"),
        ("isp_gym.benchmark.training:Training", {}, "does not take its options"),
    ],
)
def test_what_is_wrong_is_named(spec, options, message):
    with pytest.raises(UserError, match=message):
        load_agent(spec, options)
