"""The experiments in configs/ run, made small."""

from pathlib import Path

import pytest
from rich.console import Console

from isp_gym.benchmark.compare import compare
from isp_gym.benchmark.config import load_config

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
SMALL = ["image_size=36", "scenes={train: 8, validation: 1, test: 1}", "budget=16", "pictures=1", "curve_points=1"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
class TestConfigs:
    def test_is_sound_as_it_stands(self, path):
        assert load_config(path).agents

    def test_every_agent_runs(self, path, tmp_path):
        config = load_config(path, SMALL, num_seeds=1)
        config.agents.pop("stepwise-ppo", None)  # it has tests of its own, and SB3 takes long to start
        rows = compare(config, tmp_path / "run", 1, Console(quiet=True))["rows"]
        assert [row["agent"] for row in rows] == list(config.agents)


def test_ours_are_the_defaults():
    from agents import POSISP

    config = load_config(next(path for path in CONFIGS if path.stem == "posisp"))
    assert POSISP(**config.agents["posisp"]).settings == POSISP().settings
