"""The README's examples run as they stand."""

import re
from pathlib import Path

import pytest

from isp_gym.benchmark.agent import agent_names

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)


def test_environment_and_sb3_examples():
    scope: dict = {}
    for example in PYTHON[:2]:
        exec(example, scope)
    assert scope["observation"].shape == (3, 64, 64) and scope["terminated"]
    scope["model"].learn(32)


def test_the_third_party_agent_takes_part(tmp_path, monkeypatch):
    from rich.console import Console

    from isp_gym.benchmark.compare import compare
    from isp_gym.benchmark.config import load_config

    (agent,) = (example for example in PYTHON if example.startswith("# my_agent.py"))
    (tmp_path / "my_agent.py").write_text(agent)
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"isp-gym compare --config configs/quick.yaml .*(agents\.mine\S+)", README)
    small = ["budget=40", "image_size=16", "scenes={train: 4, validation: 2, test: 2}"]
    config = load_config(ROOT / "configs" / "quick.yaml", [*small, command], num_seeds=1)
    config.agents = {"mine": config.agents["mine"]}
    row = compare(config, tmp_path / "run", jobs=1, console=Console(quiet=True))["rows"][0]
    assert row["agent"] == "mine" and row["task_evaluations"] == 40 and "sequence" in row["scenes"][0]


@pytest.mark.parametrize("name", sorted(agent_names()))
def test_every_agent_is_in_the_table(name):
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_links_lead_somewhere(path):
    assert (ROOT / path).exists()
