import json
import re
import subprocess
import sys

import isp_gym
from isp_gym.benchmark import provenance
from isp_gym.modules import get_bank


def test_what_a_row_depends_on():
    bank = get_bank("stable", ("exposure", "gamma"))
    found = provenance.made_with(bank, {"test": "abc"})
    assert found["isp_gym"] == isp_gym.__version__ and found["torch"] and found["data"] == {"test": "abc"}
    assert found["bank"]["name"] == bank.name and list(found["bank"]["modules"]) == ["exposure", "gamma"]
    assert json.loads(json.dumps(found)) == found


def test_commit_of_a_checkout_and_none_without(tmp_path, monkeypatch):
    package = tmp_path / "isp_gym"
    package.mkdir()
    (package / "__init__.py").write_text("1")
    monkeypatch.setattr(isp_gym, "__file__", str(package / "__init__.py"))
    provenance.commit.cache_clear()
    assert provenance.commit() is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    provenance.commit.cache_clear()
    clean = provenance.commit()
    (package / "__init__.py").write_text("2")
    provenance.commit.cache_clear()
    assert re.fullmatch("[0-9a-f]{40}", clean) and provenance.commit() == clean + "+"
    provenance.commit.cache_clear()


def test_the_machine(monkeypatch):
    assert provenance.machine()["cpu_count"] >= 1 and provenance.peak_memory_mb() > 10
    monkeypatch.setitem(sys.modules, "resource", None)
    assert provenance.peak_memory_mb() is None
