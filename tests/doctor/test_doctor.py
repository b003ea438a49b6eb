"""The doctor on this machine as it is, and with broken packages."""

import json
import sys
import time

import pytest
from torch.optim.optimizer import register_optimizer_step_post_hook

from isp_gym.benchmark.agent import agent_names
from isp_gym.cli import main
from isp_gym.doctor import Check, Skipped, everything, examine
from isp_gym.envs.registry import REGISTRY

BROKEN = """
import sys
from isp_gym.benchmark import Agent
from isp_gym.errors import UserError
from isp_gym.data import load_scenes
from isp_gym.modules.base import Module

class Base(Agent):
    def train(self, training): pass
    def enhance(self, images): return images

class Raises(Base):
    def train(self, training): raise RuntimeError("out of\\nluck")

class Exits(Base):
    def train(self, training): sys.exit(0)

class Peeks(Base):
    def train(self, training): load_scenes("photos", "test", 1, 16)

class BadImage(Base):
    def enhance(self, images): return images[:, :1]

class Choosy(Base):
    def check(self, setting): raise UserError("it takes images of 512 pixels only")

class NaN(Base):
    def enhance(self, images): return images * float("nan")
"""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package that is installed, with agents of which only one is fit."""
    agents = ("Base", "Raises", "Exits", "Peeks", "BadImage", "Choosy", "NaN", "Missing")
    points = "[isp_gym.agents]\n" + "".join(f"x-{name.lower()} = broken_lab:{name}\n" for name in agents)
    points += "[isp_gym.banks]\nx-bank = nowhere_lab:BANK\n[isp_gym.rewards]\nx-reward = broken_lab:Base\n"
    points += "[isp_gym.tasks]\nx-task = broken_lab:Base\n[isp_gym.data]\nx-data = nowhere_lab:Data\n"
    info = tmp_path / "broken_lab-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-lab\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    (tmp_path / "broken_lab.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("broken_lab", None)


@pytest.fixture
def doctor(monkeypatch, capfd):
    """Runs ``isp-gym doctor ARGS``; returns exit code, standard output and standard error."""

    def run(*args):
        monkeypatch.setattr(sys, "argv", ["isp-gym", "doctor", *args])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capfd.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


def test_everything_that_a_name_stands_for_is_looked_at():
    names = {(check.area, check.name) for check in everything()}
    assert {("agents", name) for name in agent_names()} <= names
    assert {("environments", env.env_id) for env in REGISTRY} <= names
    assert {
        ("modules", "reference/gamma"),
        ("modules", "stable/ccm"),
        ("tasks", "detection"),
        ("rewards", "eme"),
    } <= names
    assert {("extras", "raw"), ("extras", "yolo"), ("machine", "cache folder"), ("versions", "torch")} <= names
    assert ("extras", "dev") not in names


def test_on_this_machine(doctor):
    code, out, err = doctor("--json")
    found = json.loads(out)
    rows = {(row["area"], row["name"]): row for row in found["rows"]}
    assert [row for row in found["rows"] if row["status"] == "failed"] == [] and code == 0
    assert len(err.splitlines()) == len(found["rows"]) + 1 and found["failed"] == 0
    assert rows["agents", "camera-jpeg"]["detail"].startswith("needs data with the camera's own images")
    # Each learner has learned from something, within the budget.
    for name in ("posisp", "random", "stepwise-ppo"):
        assert 0 < int(rows["agents", name]["detail"].split()[0]) <= 48, name
    assert "Box(3, 36, 36)" in rows["environments", "ISP/Sequence-v0"]["detail"]


@pytest.mark.parametrize("name", ["posisp", "stepwise-ppo"])
def test_a_learner_takes_a_step(name):
    """A budget that ends in the middle of its first batch would say nothing of its learning."""
    steps = []
    hook = register_optimizer_step_post_hook(lambda *_: steps.append(name))
    (finding,) = examine(check for check in everything() if (check.area, check.name) == ("agents", name))
    hook.remove()
    assert finding.status == "ok" and steps


@pytest.mark.usefixtures("installed")
def test_what_is_broken_fails_and_does_not_stop_the_rest(doctor):
    code, out, err = doctor()
    lines = {tuple(line.split()[:2]): line.split(maxsplit=2)[2] for line in out.splitlines()[:-1]}
    agents = {name: lines["agents", f"x-{name}"] for name in ("raises", "exits", "peeks", "badimage", "nan", "missing")}
    assert all(line.startswith("failed: ") for line in agents.values())
    assert "RuntimeError: out of luck" in agents["raises"] and "SystemExit" in agents["exits"]
    assert "sealed" in agents["peeks"] and "NaN" in agents["nan"] and "no 'Missing'" in agents["missing"]
    assert "(2, 1, 36, 36)" in agents["badimage"]
    assert lines["agents", "x-choosy"].startswith("skipped: needs another problem: it takes images of 512")
    assert lines["agents", "x-base"].startswith("ok") and lines["agents", "posisp"].startswith("ok")
    for area, name in (("modules", "x-bank"), ("rewards", "x-reward"), ("tasks", "x-task"), ("data", "x-data")):
        assert lines[area, name].startswith("failed: ")
    assert code == 2 and "10 of " in err and "agents x-raises" in err and "Traceback" not in err + out


def test_a_check_that_does_not_end_fails():
    checks = [Check("a", "slow", lambda: time.sleep(60) or ""), Check("a", "next", lambda: "fine")]
    slow, after = examine(checks, time_limit=0.2)
    assert slow.status == "failed" and "no end after 0.2 s" in slow.detail and slow.seconds < 10
    assert (after.status, after.detail) == ("ok", "fine")


def test_skipped_says_what_it_needs():
    def skip():
        raise Skipped("needs a\nGPU")

    (finding,) = examine([Check("machine", "gpu", skip)])
    assert (finding.status, finding.detail) == ("skipped", "needs a GPU") and "skipped: needs a GPU" in str(finding)


def test_a_cache_that_cannot_be_written_fails(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ISP_GYM_CACHE", str(tmp_path / "file"))
    (finding,) = examine(check for check in everything() if check.name == "cache folder")
    assert finding.status == "failed" and "file" in finding.detail
