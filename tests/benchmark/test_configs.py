"""The experiments in configs/ run, made small."""

from pathlib import Path

import pytest

from isp_gym.benchmark.config import load_config
from isp_gym.benchmark.run import run

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
SMALL = ["image_size=36", "scenes={train: 8, validation: 1, test: 1}", "budget=16", "pictures=1", "curve_points=1"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
class TestConfigs:
    def test_is_sound_as_it_stands(self, path):
        assert load_config(path).agents

    def test_every_agent_runs(self, path, tmp_path):
        config = load_config(path, SMALL, num_seeds=1)
        for name in config.agents:
            row = run(config, name, 0, tmp_path / name, lambda spent: None)
            assert row["agent"] == name and row["task_evaluations"] <= 16


def test_ours_are_the_defaults():
    from agents import POSISP

    config = load_config(next(path for path in CONFIGS if path.stem == "posisp"))
    assert POSISP(**config.agents["posisp"]).settings == POSISP().settings
