"""From a photo to its reward, and in one step, few files are entered; ``perf/files_touched.py`` counts them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST = {"photo to reward": 28, "one step": 13}


@pytest.fixture(scope="module")
def entered():
    """The files, counted in a fresh process: what this one has loaded and cached does not run again."""
    command = [sys.executable, str(ROOT / "perf" / "files_touched.py"), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("what", MOST)
def test_few_files_are_entered(what, entered):
    files = entered[what]
    assert {"envs/single.py", "envs/sequence.py", "tasks/enhancement.py", "modules/exposure.py"} <= set(files)
    assert len(files) <= MOST[what], f"{len(files)} files:\n" + "\n".join(files)


def test_no_file_of_environments_is_long():
    lengths = {path.name: len(path.read_text().splitlines()) for path in (ROOT / "isp_gym" / "envs").glob("*.py")}
    assert max(lengths.values()) <= 300, lengths
