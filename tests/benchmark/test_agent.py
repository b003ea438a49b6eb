import sys

import pytest
import torch

from isp_gym.benchmark import Agent, load_agent
from isp_gym.benchmark.agent import agent_names, as_agent
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
        ("no_such_module:Agent", {}, "nor is there a module 'no_such_module'"),
        ("baselines.fixed:Camera", {}, "module 'baselines.fixed' has no 'Camera'"),
        ("camera", {"gain": 2}, "agent 'camera' does not take its options.*gain"),
        ("pathlib:Path", {}, "no method train"),
        ("isp_gym.benchmark.training:Training", {}, "does not take its options"),
    ],
)
def test_what_is_wrong_is_named(spec, options, message):
    with pytest.raises(UserError, match=message):
        load_agent(spec, options)


class Plain:
    """What a third party may bring."""

    def train(self, training):
        pass

    def enhance(self, images):
        return images


class TestPlainClasses:
    def test_what_they_have_is_used(self):
        class Rich(Plain):
            observes = "camera"
            networks = torch.nn.Linear(1, 1)

            def diagnostics(self):
                return {"entropy": 1.0}

            def save(self, folder):
                (folder / "mine").write_text("")

            def load(self, folder):
                self.loaded = (folder / "mine").exists()

        agent, plain = as_agent(Rich(), "rich"), as_agent(Plain(), "plain")
        assert (agent.observes, agent.diagnostics(), agent.can_be_saved) == ("camera", {"entropy": 1.0}, True)
        assert agent.networks is Rich.networks and not agent.makes_pipelines
        assert (plain.observes, plain.diagnostics(), plain.can_be_saved, plain.networks) == ("raw", {}, False, None)

    @pytest.mark.parametrize("name", ["networks", "observes"])
    def test_an_error_inside_a_property_is_not_taken_for_its_absence(self, name):
        def broken(agent):
            return agent.no_such_attribute

        cls = type("Broken", (Plain,), {name: property(broken)})
        with pytest.raises(AttributeError, match="no_such_attribute"):
            as_agent(cls(), "broken").networks  # noqa: B018

    @pytest.mark.parametrize(
        ("parts", "message"),
        [
            (["enhance"], r"no method train\(training\)"),
            (["train"], r"neither pipelines\(images\) nor enhance\(images\)"),
        ],
    )
    def test_what_is_missing_is_named(self, parts, message):
        cls = type("Part", (), {name: getattr(Plain, name) for name in parts})
        with pytest.raises(UserError, match=f"agent 'part' has {message}"):
            as_agent(cls(), "part")

    def test_what_there_is_not_cannot_be_observed(self):
        with pytest.raises(UserError, match="observes 'depth'; what there is: raw, camera, target"):
            as_agent(type("Deep", (Plain,), {"observes": "depth"})(), "deep")


class TestSubclasses:
    class Level(Agent):
        def __init__(self, level=0.0):
            self.level = torch.tensor([level])

        def train(self, training):
            pass

        def enhance(self, images):
            return images * self.level

        def state(self):
            return {"level": self.level, "name": "x", "numbers": [1, 2.5]}

        def load_state(self, state):
            self.level, self.found = state["level"], state

    @pytest.mark.parametrize("missing", ["train", "enhance"])
    def test_an_unfinished_one_is_named(self, missing):
        parts = {name: getattr(self.Level, name) for name in ("train", "enhance") if name != missing}
        with pytest.raises(UserError, match="agent 'x' has no"):
            as_agent(type("Part", (Agent,), parts)(), "x")

    def test_state_goes_through_files_without_pickles(self, tmp_path):
        self.Level(0.25).save(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["policy.json", "policy.safetensors"]
        agent = self.Level()
        agent.load(tmp_path)
        assert agent.found == {"level": torch.tensor([0.25]), "name": "x", "numbers": [1, 2.5]}

    @pytest.mark.parametrize(
        ("name", "content"), [("policy.json", "{"), ("policy.json", None), ("policy.safetensors", "no tensors")]
    )
    def test_a_damaged_file_is_named(self, tmp_path, name, content):
        self.Level(0.25).save(tmp_path)
        (tmp_path / name).unlink()
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match="holds no saved Level"):
            self.Level().load(tmp_path)

    def test_the_policy_of_another_agent_is_named(self, tmp_path):
        self.Level(0.25).save(tmp_path)
        (tmp_path / "policy.json").write_text("{}")
        agent = load_agent("posisp")
        with pytest.raises(UserError, match="holds something else than this POSISP"):
            agent.load(tmp_path)
