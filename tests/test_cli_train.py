"""``isp-gym train`` as a person runs it: interrupted by signals, resumed, and its folder evaluated."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isp_gym.benchmark.files import digest_of_folder
from isp_gym.cli import main

CONFIG = """
image_size: 16
scenes: {train: 4, validation: 2, test: 2}
budget: 60
curve_points: 3
checkpoint_seconds: 0
seeds: [0]
agents:
  walk: {agent: "walk_for_test:Walk", pause: 0.03}
  random: {scenes_per_candidate: 4}
"""

WALK = """
import time
import torch
from isp_gym.benchmark import Agent

class Walk(Agent):
    '''Adds a random number an evaluation: what is lost or done twice is in its policy.'''
    exact_resume = True
    def __init__(self, pause): self.level, self.pause = torch.ones(1), pause
    def train(self, training):
        training.resume(self)
        while training.remaining:
            scenes = training.scenes.batch([0])
            training.transition.loss(scenes.images, scenes)
            self.level += torch.rand(1)
            training.checkpoint(self, self)
            time.sleep(self.pause)
    def enhance(self, images): return images * self.level
    def state(self): return {"level": self.level}
    def load_state(self, state): self.level = state["level"]
    state_dict, load_state_dict = state, load_state
"""


@pytest.fixture
def cli(tmp_path, monkeypatch, capfd):
    """Runs ``isp-gym ARGS`` in ``tmp_path``; returns exit code, standard output and standard error."""
    (tmp_path / "c.yaml").write_text(CONFIG)
    (tmp_path / "walk_for_test.py").write_text(WALK)
    monkeypatch.chdir(tmp_path)

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["isp-gym", *args])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capfd.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


TRAIN = ["train", "--config", "c.yaml", "--agent", "walk", "--out", "x"]
ROOT = str(Path(__file__).parents[1])


@pytest.fixture
def interrupted(cli, tmp_path):
    """Ends a training in a process of its own by a signal, when it has written some checkpoints."""

    def make(number):
        path = os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")])
        process = subprocess.Popen(
            [sys.executable, "-m", "isp_gym.cli", *TRAIN],
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )
        while process.poll() is None and not list((tmp_path / "x.partial").glob("checkpoints/0000[1-9]*.pt")):
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert not (tmp_path / "x").exists(), "it had ended"
        return process.returncode, err

    return make


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_it_ends_with_the_policy_of_a_comparison_however_it_is_interrupted(
    cli, interrupted, tmp_path, number, expected
):
    code, err = interrupted(number)
    assert code == expected
    if number == signal.SIGTERM:
        last = err.splitlines()[-1]
        assert "interrupted; the training is kept in" in last and "with --resume goes on" in last
    # Whatever else is asked for now loses nothing.
    kept = digest_of_folder(tmp_path / "x.partial" / "checkpoints")
    for args, message in (
        ([], "holds an interrupted training; go on with --resume"),
        (["--resume", "budget=61"], "a training with budget=60, not 61; give its settings"),
        (["--resume", "--seed", "5"], "a training with seed=0, not 5"),
    ):
        code, out, err = cli(*TRAIN, *args)
        assert code == 2 and message in err.splitlines()[-1] and not out and "Traceback" not in err
        assert digest_of_folder(tmp_path / "x.partial" / "checkpoints") == kept
    assert cli(*TRAIN, "--resume")[0] == 0
    row = json.loads((tmp_path / "x/row.json").read_text())
    assert row["cost"]["resumed"] == 1 and row["task_evaluations"] == 60
    assert cli("compare", "--config", "c.yaml", "--out", "y", "--jobs", "1", "agents.walk.pause=0")[0] == 0
    compared = tmp_path / "y/runs/walk/seed-0/policy"
    assert row["policy"] == digest_of_folder(compared) == digest_of_folder(tmp_path / "x/policy")


def test_what_it_prints(cli, tmp_path):
    args = ["train", "--config", "c.yaml", "--agent", "random", "--seed", "3", "--out", "x", "budget=16"]
    code, out, err = cli(*args)
    assert code == 0
    assert err.splitlines() == [
        "loading train and validation scenes of photos",
        "training random seed 3 with budget 16",
    ]
    assert "enhancement on photos, 2 validation scenes" in out and "PSNR" in out
    assert "learned pipeline: " in out and "(2 of 2 scenes)" in out and "validation/" in out
    assert out.splitlines()[-1] == "policy: x; to test it: isp-gym evaluate --policy x --split test"
    code, out, _ = cli(*args, "--resume", "--json")
    assert code == 0 and len(out.splitlines()) == 1
    (row,) = json.loads(out)["rows"]
    assert (row["split"], row["seed"], row["agent"]) == ("validation", 3, "random")
    code, out, err = cli("evaluate", "--policy", "x", "--split", "test")
    assert code == 0 and "2 test scenes" in out
    assert err.splitlines() == ["loading 2 test scenes of photos", "scoring 2 test scenes"]


def test_faults_are_one_line_and_nothing_is_written(cli, tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(6):
        (tmp_path / "photos" / f"{i}.png").write_text(f"no image {i}")
    before = sorted(path.name for path in tmp_path.iterdir())
    for args, message in (
        (["--out", "x"], "several agents; choose one with --agent: walk, random"),
        (["--out", "x", "--agent", "randon"], "did you mean 'random'"),
        (["--out", "x", "--agent", "random", "buget=3"], "buget"),
        (["--out", ".", "--agent", "random"], "is the folder that you are in"),
        (["--out", "x", "--agent", "random", "data=folder:photos"], ".png"),
    ):
        code, out, err = cli("train", "--config", "c.yaml", *args)
        assert code == 2 and message in err and len(err.splitlines()) == 1 and not out
    assert sorted(path.name for path in tmp_path.iterdir()) == before
