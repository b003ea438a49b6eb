"""docs/environments.md: its table is the registry's with the recorded speed, and its examples run."""

import json
import re
from pathlib import Path

import gymnasium as gym
import pytest

from isp_gym.envs import environment_markdown
from isp_gym.envs.config import EnvConfig

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "environments.md").read_text()
RESULTS = json.loads((ROOT / "perf" / "results" / "envs.json").read_text())


def test_table_is_generated_from_the_registry():
    (table,) = re.findall(r"<!-- table: .*? -->\n(.*?)\n<!-- end of table -->", DOCS, re.S)
    speed = {row["id"]: row["steps_per_second"] for row in RESULTS["ids"]}
    expected = environment_markdown(speed)
    assert table == expected, f"docs/environments.md should hold:\n{expected}"


def test_every_option_is_documented():
    options = DOCS.split("## Options")[1].split("##")[0]
    for name in (*EnvConfig.__dataclass_fields__, "dense", "steps", "pixel_rewards", "actions", "bins", "output"):
        assert f"`{name}`" in options


@pytest.mark.parametrize("example", re.findall(r"```python\n(.*?)```", DOCS, re.S))
def test_examples_run(example):
    exec(example.replace("10_000", "64").replace("num_envs=64", "num_envs=4"), {"gym": gym})
