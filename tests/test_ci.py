"""What continuous integration runs: each set of CPU kernels once, every numeric folder, and each part's minutes."""

import importlib.util
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def load_kernels():
    spec = importlib.util.spec_from_file_location("kernels", ROOT / ".ci" / "kernels.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestKernels:
    @pytest.mark.parametrize(
        ("best", "machine", "expected"),
        [
            ("avx512", "x86_64", ("default", "avx2")),
            ("avx2", "AMD64", ("default",)),
            ("default", "x86_64", ()),
            ("default", "arm64", ()),
            ("sve256", "aarch64", ()),
        ],
    )
    def test_those_that_a_plain_run_does_not_use(self, best, machine, expected):
        assert load_kernels().others(best, machine) == expected

    def test_runs_each_and_says_which_it_does_not(self, tmp_path, monkeypatch, capfd):
        kernels = load_kernels()
        (tmp_path / "test_it.py").write_text(
            "import torch\ndef test_it(): print('uses', torch.backends.cpu.get_cpu_capability())\n"
        )
        monkeypatch.setattr(kernels, "others", lambda best, machine: ("default",))
        assert kernels.main(["-s", "-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)]) == 0
        out = capfd.readouterr().out
        assert "uses DEFAULT" in out and "kernels 'avx2': not run" in out

    def test_a_failure_is_passed_on(self, tmp_path, monkeypatch):
        kernels = load_kernels()
        (tmp_path / "test_it.py").write_text("def test_it(): assert False\n")
        monkeypatch.setattr(kernels, "others", lambda best, machine: ("default",))
        assert kernels.main(["-c", os.devnull, "--rootdir", str(tmp_path), str(tmp_path)]) == 1


def parts_of(done):
    """The lines printed, without their minutes."""
    return [re.sub(r" \d+\.\d minutes", "", line) for line in done.stdout.splitlines()]


class TestRun:
    def run(self, tmp_path, make):
        """Run .ci/run with another make, without standard input."""
        (tmp_path / "make").write_text(f"#!/bin/sh\n{make}\n")
        (tmp_path / "make").chmod(0o755)
        environment = {**os.environ, "CI": "true", "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
        return subprocess.run(
            [ROOT / ".ci" / "run"], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )

    def test_each_part_and_its_minutes(self, tmp_path):
        done = self.run(tmp_path, "exit 0")
        assert done.returncode == 0
        assert parts_of(done) == ["make test:", "make test-kernels:", "make test-full:", "all:"]

    def test_it_ends_where_a_part_fails(self, tmp_path):
        done = self.run(tmp_path, '[ "$1" = test ] || exit 3')
        assert done.returncode == 3
        assert parts_of(done) == ["make test:", "make test-kernels:, failed", "all:"]


def test_numeric_folders_exist():
    (line,) = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("NUMERIC")]
    folders = line.split(",")[1].rstrip(")").split()
    assert all((ROOT / "tests" / folder).is_dir() for folder in folders) and "modules" in folders
