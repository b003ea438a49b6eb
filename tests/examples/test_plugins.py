"""examples/plugins, installed as a user would: its tests pass, tables show it, and its comparison runs and replays."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from isp_gym.cli import main
from isp_gym.plugins import KINDS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "plugins"
PACKAGE = "isp_gym_example_plugins"
GROUPS = re.findall(
    r"^\[project\.entry-points\.\"isp_gym\.(\w+)\"\]\n([\w-]+) = ", (EXAMPLE / "pyproject.toml").read_text(), re.M
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the package in it; built elsewhere, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(EXAMPLE, folder / "source")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([*pip, "--target", folder / "site", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture
def cli(site, tmp_path, monkeypatch, capfd):
    """Runs ``isp-gym ARGS`` beside the installed package; returns standard output."""
    monkeypatch.syspath_prepend(site)
    monkeypatch.chdir(tmp_path)

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["isp-gym", *args])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        assert not end.value.code, err
        return out

    yield run
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def test_its_own_tests_pass(site):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(site.parent / "source")]
    path = os.pathsep.join([str(site), str(ROOT)])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    for kind, _ in GROUPS:
        assert f"check_{kind.removesuffix('s') if kind != 'data' else 'data_source'}(" in _sources(EXAMPLE / "tests")


def test_it_declares_what_there_is():
    assert {kind for kind, _ in GROUPS} == set(KINDS) - {"networks"}


@pytest.mark.parametrize("command", ["modules --bank pedestal", "rewards", "agents", "data"])
def test_tables_show_it(cli, command):
    kind = command.split()[0]
    rows = json.loads(cli(*command.split(), "--json"))["rows"]
    assert dict(GROUPS)[kind] in [row["name"] for row in rows]


def test_its_comparison_runs_and_replays(cli, tmp_path):
    cli("compare", "--config", str(EXAMPLE / "compare.yaml"), "--out", "run", "--jobs", "2")
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    row = next(row for row in results["rows"] if row["agent"] == "cross-entropy")
    assert (row["task"], row["data"], row["task_evaluations"]) == ("edges", "charts", 160)
    assert row["metrics"]["edge_agreement"] > 0
    assert row["scenes"][0]["sequence"] == ["black_level", "exposure", "gamma"]
    config = (EXAMPLE / "compare.yaml").read_text()
    assert all(re.search(rf"\b{name}\b", config) for _, name in GROUPS)
    replayed = json.loads(cli("replay", "run/results.json", "--sample", "1", "--allow-code", "--json"))
    assert len(replayed["rows"]) == 1


def _sources(folder):
    return "".join(path.read_text() for path in sorted(folder.glob("*.py")))
