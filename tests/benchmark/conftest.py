"""A tiny comparison, its plans, and one that has been run for real."""

import copy

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from isp_gym.benchmark.compare import compare
from isp_gym.benchmark.config import CompareConfig
from isp_gym.benchmark.plan import Plan
from isp_gym.benchmark.run import run

TINY = {
    "image_size": 16,
    "modules": ["exposure", "gamma", "contrast"],
    "scenes": {"train": 4, "validation": 2, "test": 3},
    "budget": 16,
    "curve_points": 2,
    "seeds": [0],
    "pictures": 1,
}


def _config(agents=None, **keys):
    return CompareConfig.of({**TINY, "agents": agents or {"input": {}}, **keys})


@pytest.fixture(scope="session")
def tiny():
    """Makes the config of a tiny comparison: ``tiny(agents, key=value, ...)``."""
    return _config


@pytest.fixture(scope="session")
def plan_of():
    """Makes the plan of one tiny run: ``plan_of(spec, options, seed, key=value, ...)``."""

    def make(spec, options=None, seed=0, **keys):
        config = _config(**keys)
        (problem,) = config.problems.values()
        return Plan(problem.counted(), "agent", spec, options or {}, seed, config.pictures, config.run_timeout)

    return make


@pytest.fixture
def run_of(plan_of, tmp_path):
    """Runs one tiny run in this process, in ``tmp_path / "run"``, and returns its row."""

    def make(*arguments, **keys):
        return run(plan_of(*arguments, **keys), tmp_path / "run")

    return make


@pytest.fixture(scope="session")
def quietly():
    """``compare`` in one process at a time that prints nothing."""

    def compare_quietly(config, out, **options):
        return compare(config, out, **{"jobs": 1, "console": Console(quiet=True), **options})

    return compare_quietly


@pytest.fixture(scope="session")
def agents():
    """Agents of every kind: fixed, without a policy to save, stepwise, and ours; for images of at least 36 pixels."""
    return {
        "camera": {},
        "random": {"scenes_per_candidate": 4},
        "ppo": {"agent": "stepwise-ppo", "num_envs": 4, "n_steps": 8, "batch_size": 16, "n_epochs": 1},
        "posisp": {"width": 8},
    }


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tiny, agents, quietly):
    """Results and folder of a comparison that was run for real, in processes of its own."""
    out = tmp_path_factory.mktemp("finished") / "x"
    return quietly(tiny(agents, image_size=36, budget=48, seeds=[1]), out), out


@pytest.fixture
def results(finished):
    """A copy of its results, to be changed."""
    return copy.deepcopy(finished[0])


@pytest.fixture
def photos(tmp_path):
    """Makes a folder of photographs, one a split if not said otherwise: ``photos(train=3, seed=1)``."""

    def make(seed=0, **counts):
        for number, split in enumerate(("train", "validation", "test")):
            (tmp_path / "photos" / split).mkdir(parents=True, exist_ok=True)
            for i in range(counts.get(split, 1)):
                pixels = np.random.default_rng([seed, number, i]).integers(0, 256, (20, 20, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / "photos" / split / f"{i}.png")
        return tmp_path / "photos"

    return make
