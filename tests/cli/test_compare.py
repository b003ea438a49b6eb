"""``isp-gym compare`` as people at a shell use it."""

import json
import os
import subprocess
import sys

import pytest

BASE = """
image_size: 16
scenes: {train: 2, validation: 1, test: 1}
data: skimage
pictures: 1
budget: 4
curve_points: 1
seeds: [0]
"""
CHATTY = """
import os, torch

class Chatty:
    def train(self, training):
        for i in range(200):  # more than buffers hold back
            print("epoch", i, "of 200, loss ± 0.5", "." * 500, flush=True)
            os.write(1, b"from C\\n")

    def enhance(self, images):
        return images
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "agents.yaml").write_text("agents: {input: {}, camera: {}, x: {agent: 'chatty:Chatty'}}")
    (tmp_path / "chatty.py").write_text(CHATTY)
    return tmp_path


def compare(folder, *args, shell='"$@"', **env):
    """Run it in a shell line, where "$@" stands for the command; returns exit code, stdout and stderr."""
    command = [sys.executable, "-m", "isp_gym.cli", "compare", "--out", "run", "--jobs", "1", *args]
    paths = os.pathsep.join(sys.path)
    done = subprocess.run(
        ["bash", "-c", shell, "bash", *command],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths, **env},
    )
    return done.returncode, done.stdout, done.stderr


def agents_of(folder):
    results = json.loads((folder / "run" / "results.json").read_text())
    return [row["agent"] for row in results["rows"]], list(results["config"]["agents"]), results["config"]["budget"]


def test_layers_from_a_pipe_one_agent_and_nothing_but_json_on_stdout(folder):
    code, out, err = compare(
        folder,
        *("--config", "base.yaml", "--config", "/dev/stdin", "--only", "x", "--json", "budget=6"),
        shell='cat agents.yaml | "$@"',
    )
    assert code == 0, err
    assert [row["agent"] for row in json.loads(out)["rows"]] == ["x"]
    assert "epoch 199 of 200" in err and "PSNR" in err
    assert agents_of(folder) == (["x"], ["x"], 6)


def test_an_ascii_terminal_that_is_closed_soon_ends_nothing(folder):
    _, out, _ = compare(
        folder,
        *("--config", "base.yaml", "--config", "agents.yaml", "agents.camera=false"),
        shell='"$@" 2>&1 | head -c 1',
        PYTHONIOENCODING="ascii",
    )
    assert len(out) == 1
    assert agents_of(folder) == (["input", "x"], ["input", "x"], 4)
