"""The README's examples run as they stand."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from isp_gym.benchmark.agent import agent_names
from isp_gym.benchmark.compare import compare
from isp_gym.benchmark.config import load_config
from isp_gym.benchmark.replay import replay_results
from isp_gym.envs.config import EnvConfig
from isp_gym.testing import check_agent

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)


def test_environment_and_sb3_examples():
    scope: dict = {}
    for example in PYTHON[:2]:
        exec(example, scope)
    assert scope["observation"].shape == (3, 64, 64) and scope["terminated"]
    scope["model"].learn(32)


class TestItsOwnAgent:
    """It once failed `check_agent`, and its rows did not replay."""

    (CODE,) = (example for example in PYTHON if example.startswith("# my_agent.py"))

    def test_passes_the_check(self):
        scope: dict = {}
        exec(self.CODE, scope)
        check_agent(scope["BestOfMany"], setting=EnvConfig(num_scenes=4, image_size=16), budget=16)

    def test_takes_part_and_its_rows_replay(self, tmp_path, monkeypatch):
        (tmp_path / "my_agent.py").write_text(self.CODE)
        monkeypatch.chdir(tmp_path)
        (command,) = re.findall(r"isp-gym compare --config configs/quick.yaml .*(agents\.mine\S+)", README)
        small = ["budget=40", "image_size=36", "scenes={train: 4, validation: 2, test: 2}"]
        config = load_config(ROOT / "configs" / "quick.yaml", [*small, command], num_seeds=6)
        config.agents = {"mine": config.agents["mine"]}
        rows = compare(config, tmp_path / "run", jobs=2, console=Console(quiet=True))["rows"]
        assert [(row["agent"], row["task_evaluations"]) for row in rows] == [("mine", 40)] * 6
        assert all(len(set(scene["sequence"])) == len(scene["sequence"]) for row in rows for scene in row["scenes"])
        assert sum(row["refused"] for row in rows) > 0  # it samples modules twice
        replayed = replay_results(tmp_path / "run" / "results.json")
        assert [(one.checked, one.faults) for one in replayed] == [(["pipelines", "log"], [])] * 6


@pytest.mark.parametrize("name", sorted(agent_names()))
def test_every_agent_is_in_the_table(name):
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_links_lead_somewhere(path):
    assert (ROOT / path).exists()
