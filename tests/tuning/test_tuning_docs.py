"""The examples of docs/tuning.md work as they stand."""

import re
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from isp_gym.benchmark.config import CompareConfig
from isp_gym.tuning.tune import space_of, tune

DOCS = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text(encoding="utf-8")


def test_the_agent_is_tuned(tmp_path, monkeypatch):
    code = re.search(r"<!-- example: (\S+) -->\n```python\n(.*?)```", DOCS, re.S)
    (tmp_path / code[1]).write_text(code[2])
    monkeypatch.chdir(tmp_path)
    scenes = {"train": 2, "validation": 2, "test": 2}
    agents = {"dial": {"agent": "my_dial:Dial", "steps": 3}}
    config = CompareConfig.of({"image_size": 16, "scenes": scenes, "budget": 16, "agents": agents})
    outcome = tune(config, tmp_path / "out", 3, console=Console(quiet=True))
    assert outcome["trials"][0]["values"] == {"most": 0.5, "steps": 3, "network.width": 8}
    assert outcome["trials"][0]["task_evaluations"] == 3 and outcome["best"][0]["failed"] == 0
    tuned = yaml.safe_load((tmp_path / "out/best.yaml").read_text())["agents"]["dial"]
    assert set(tuned) == {"most", "steps", "network"} and tuned["network"]["width"] in (8, 16)


def test_the_changes_are_taken():
    (text,) = re.findall(r"```yaml\n(.*?)```", DOCS, re.S)
    config = CompareConfig.of(yaml.safe_load(text.replace("1e-", "1.0e-")))
    space = space_of(config, "posisp")
    assert space["batch_size"].values == (8, 16) and "half_life" not in space
    assert (space["pretanh_l2"].log, space["width"].high) == (True, 32)


@pytest.mark.parametrize("option", ["--agent", "--budget", "--seeds", "--seed", "--jobs"])
def test_options_that_are_described_exist(option, monkeypatch, capfd):
    from isp_gym.cli import main

    monkeypatch.setattr("sys.argv", ["isp-gym", "tune-agents", "--help"])
    with pytest.raises(SystemExit):
        main()
    assert option in capfd.readouterr().out and option in DOCS
