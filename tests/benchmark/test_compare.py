"""A small comparison, run for real: in processes of its own, from config to results."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from isp_gym.benchmark.compare import compare
from isp_gym.benchmark.results import read_results
from isp_gym.benchmark.workers import Worker
from isp_gym.data import DataSource, MemoryStore, SceneSet
from isp_gym.errors import UserError
from isp_gym.pipelines import Pipelines


class TestResults:
    def test_follow_the_published_schema_and_are_what_was_returned(self, finished):
        results, out = finished
        assert read_results(out / "results.json") == json.loads(json.dumps(results))

    def test_one_row_for_each_agent_and_seed_in_the_configs_order(self, finished, agents):
        assert [(row["agent"], row["seed"]) for row in finished[0]["rows"]] == [(agent, 1) for agent in agents]
        for row in finished[0]["rows"]:
            assert (row["task"], row["data"], row["split"]) == ("enhancement", "photos", "test")
            assert set(row["metrics"]) == {"psnr", "ssim"}

    def test_all_learners_spend_the_same(self, finished):
        spent = {row["agent"]: row["task_evaluations"] for row in finished[0]["rows"]}
        # POS-ISP ends when less is left than the sequences for one image may cost.
        assert 48 - 4 < spent.pop("posisp") <= 48 and 48 - 4 < spent.pop("ppo") <= 48
        assert spent == {"camera": 0, "random": 48}

    def test_every_learner_read_training_scenes_and_no_others(self, finished):
        for row in finished[0]["rows"]:
            read = row["train_scenes_read"]
            assert all(scene.startswith("train/") for scene in read)
            assert len(read) == row["scenes_read"]["train"] == (0 if row["agent"] == "camera" else 4)
            assert all(scene["scene"].startswith("test/") for scene in row["scenes"])
            assert set(row["reads_refused"].values()) == {0}

    def test_a_row_can_be_computed_again_from_what_it_carries(self, finished, tiny):
        (problem,) = tiny(image_size=36).problems.values()
        setting = problem.setting("test")
        scenes, task = setting.load_scenes(), setting.make_task()
        for row in finished[0]["rows"]:
            if row["agent"] != "camera":
                batch = scenes.batch([scenes.index(scene["scene"]) for scene in row["scenes"]])
                now = task.metric().update(Pipelines.from_records(setting.rules, row["scenes"])(batch.images), batch)
                assert now["psnr"].tolist() == pytest.approx([scene["psnr"] for scene in row["scenes"]], abs=1e-6)

    def test_curves_end_with_the_budget(self, finished):
        for row in finished[0]["rows"]:
            evaluations = [point["task_evaluations"] for point in row["curve"]]
            assert evaluations == sorted(set(evaluations))
            assert evaluations[-1:] == [spent for spent in [row["task_evaluations"]] if spent]

    def test_number_of_jobs_changes_nothing_but_the_cost(self, finished, tiny, agents, quietly, tmp_path):
        config = tiny({"random": agents["random"], "posisp": agents["posisp"]}, image_size=36, budget=48, seeds=[1])
        again = quietly(config, tmp_path / "again", jobs=1)["rows"]
        before = {(row["agent"], row["seed"]): row["digest"] for row in finished[0]["rows"]}
        assert [row["digest"] for row in again] == [before["random", 1], before["posisp", 1]]

    def test_pictures(self, finished):
        picture = cv2.imread(str(finished[1] / "runs" / "camera" / "seed-1" / "test-0.png"))
        assert picture.shape == (36, 36, 3)
        assert not (finished[1] / "runs" / "camera" / "seed-1" / "test-1.png").exists()

    def test_the_number_of_scenes_is_the_true_one(self, quietly, tiny, tmp_path):
        results = quietly(tiny(scenes={"train": 4}), tmp_path / "x")
        assert results["config"]["scenes"] == {"train": 4, "validation": 16, "test": 16, "exact": True}
        assert len(results["rows"][0]["scenes"]) == 16


@pytest.fixture(scope="module")
def both(tiny, quietly, tmp_path_factory):
    """A comparison on two problems."""
    problems = {"small": {}, "typed (24)": {"image_size": 24, "order": "typed", "budget": 8}}
    out = tmp_path_factory.mktemp("several") / "x"
    return quietly(tiny({"random": {"scenes_per_candidate": 4}}, problems=problems), out), out


class TestSeveralProblems:
    def test_rows_folders_data_and_config_name_them(self, both):
        results, out = both
        assert [(row["problem"], row["task_evaluations"]) for row in results["rows"]] == [
            ("small", 16),
            ("typed (24)", 8),
        ]
        assert sorted(path.name for path in (out / "runs").iterdir()) == ["small", "typed (24)"]
        assert list(results["data"]) == list(results["config"]["problems"]) == ["small", "typed (24)"]
        picture = out / "runs" / "typed (24)" / "random" / "seed-0" / "test-0.png"
        assert Image.open(picture).size == (24, 24)

    def test_the_report_has_a_section_for_each(self, both):
        page = (both[1] / "report.html").read_text()
        assert page.count("<td>random</td>") == 2 and "typed (24)" in page


class TestConstantTargets:
    def test_are_counted_and_shown(self, tiny, quietly, photos, tmp_path):
        """PSNR against a constant picture is no test of anything."""
        folder = photos(train=2, test=2)
        Image.fromarray(np.full((20, 20, 3), 128, np.uint8)).save(folder / "test" / "1.png")
        results = quietly(tiny(data=f"folder:{folder}", scenes={"test": 4}), tmp_path / "x")
        (row,) = results["rows"]
        assert row["scenes_left_out"] == sum("psnr" not in scene for scene in row["scenes"])


class TestResume:
    AGENTS = """
import os, torch
from isp_gym.benchmark import Agent
class Level(Agent):
    exact_resume = True
    def __init__(self, level=0.5): self.level = torch.tensor([float(level)])
    def train(self, training):
        if os.path.exists("broken"): raise RuntimeError("out of luck")
        scenes = training.scenes.batch([0])
        training.transition.loss(scenes.images, scenes)
    def enhance(self, images): return images * self.level
    def state(self): return {"level": self.level}
    def load_state(self, state): self.level = state["level"]
"""

    @pytest.fixture(autouse=True)
    def _agents(self, tmp_path, monkeypatch):
        (tmp_path / "resume_agents.py").write_text(self.AGENTS)
        monkeypatch.chdir(tmp_path)

    @staticmethod
    def times(folder):
        return {path.parent.parent.name: path.stat().st_mtime_ns for path in folder.glob("runs/*/*/row.json")}

    def test_after_a_failure_the_finished_runs_are_kept_and_the_rest_is_run(self, tiny, quietly, tmp_path):
        config = tiny({"input": {}, "x": {"agent": "resume_agents:Level"}})
        (tmp_path / "broken").touch()
        with pytest.raises(UserError, match=r"agent 'x', seed 0 failed: RuntimeError: out of luck .*the 1 finished"):
            quietly(config, tmp_path / "o")
        partial = tmp_path / "o.partial"
        assert not (tmp_path / "o").exists() and "out of luck" in (partial / "runs/x/seed-0/error.txt").read_text()
        kept = read_results(partial / "results.json")
        assert [row["agent"] for row in kept["rows"]] == ["input"] and (partial / "report.html").exists()
        assert [(one["agent"], one["seed"]) for one in kept["failures"]] == [("x", 0)]
        before = self.times(partial)
        (tmp_path / "broken").unlink()
        results = quietly(config, tmp_path / "o")
        assert [row["agent"] for row in results["rows"]] == ["input", "x"] and results["failures"] == []
        assert not partial.exists() and self.times(tmp_path / "o")["input"] == before["input"]

    def test_complete_results_are_taken_up_and_only_what_is_new_is_run(self, tiny, quietly, tmp_path):
        quietly(tiny({"input": {}, "x": {"agent": "resume_agents:Level"}}), tmp_path / "o")
        before = self.times(tmp_path / "o")
        config = tiny({"input": {}, "x": {"agent": "resume_agents:Level", "level": 0.25}, "camera": {}})
        results = quietly(config, tmp_path / "o", resume=True)
        after = self.times(tmp_path / "o")
        assert after["input"] == before["input"] and after["x"] > before["x"] and len(results["rows"]) == 3
        assert json.loads((tmp_path / "o/set-aside/1/run.json").read_text())["options"] == {}
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir() and path.name[0] == "o") == ["o"]

    def test_a_row_that_was_changed_by_hand_is_run_again(self, tiny, quietly, tmp_path):
        first = quietly(tiny(), tmp_path / "o")
        path = tmp_path / "o/runs/input/seed-0/row.json"
        row = json.loads(path.read_text())
        row["metrics"]["psnr"] += 9
        path.write_text(json.dumps(row))
        again = quietly(tiny(), tmp_path / "o", resume=True)
        assert [row["digest"] for row in again["rows"]] == [row["digest"] for row in first["rows"]]

    def test_without_it_an_earlier_run_is_kept(self, tiny, quietly, tmp_path):
        for _ in range(2):
            quietly(tiny(), tmp_path / "run")
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["run", "run.1"]


class TestBeforeTheWork:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"scenes": {"test": 7}, "data": "{here}:Few"}, r"scenes\.test=7, and data=.* has 3"),
            ({"data": "{here}:Untargeted"}, "target"),
        ],
    )
    def test_what_does_not_suit_is_found(self, tiny, quietly, tmp_path, changes, message, monkeypatch):
        changes = {k: v.format(here=__name__) if isinstance(v, str) else v for k, v in changes.items()}
        with pytest.raises(UserError, match=message):
            quietly(tiny(**changes), tmp_path / "x")
        assert not list(tmp_path.iterdir())


class Few(DataSource):
    name, licence, reference, description = "few", "", "", ""
    targets = True

    def version(self):
        return "1"

    def check(self, argument):
        pass

    def fingerprint(self, argument):
        return ""

    def load(self, argument, split, count, image_size, seed, on_error="raise"):
        ids = [f"{split}/{i}" for i in range(6 if split == "train" else 3)][:count]
        images = torch.rand(len(ids), 3, image_size, image_size)
        return SceneSet(MemoryStore(images, images if self.targets else None), ids, ids, split, "few")


class Untargeted(Few):
    """As RAW files are."""

    targets = False


SLEEPER = """
import time, torch
class Sleeper:
    def train(self, training):
        open("started", "w").close()
        while True:
            training.checkpoint(self)
            time.sleep(0.01)
    def enhance(self, images): return images
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda end: end.name)
def test_however_it_ends_it_leaves_no_process(tmp_path, end):
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    scenes = "image_size: 16\nscenes: {train: 2, validation: 1, test: 1}\nseeds: [0, 1]\n"
    (tmp_path / "c.yaml").write_text(scenes + "agents: {x: {agent: 'sleeper:Sleeper'}}")
    mark = f"isp-gym-test-{os.getpid()}-{end}"
    command = [sys.executable, "-m", "isp_gym.cli", "compare", "--config", "c.yaml", "--out", "x", "--jobs", "2"]
    # Children inherit the environment, and so can be told from all other processes.
    process = subprocess.Popen(
        command, cwd=tmp_path, env={**os.environ, "MARK": mark}, stderr=subprocess.PIPE, text=True
    )
    try:
        _wait(lambda: (tmp_path / "started").exists())
        assert len(_marked(mark)) >= 3
        process.send_signal(end)
        _, said = process.communicate(timeout=60)
        _wait(lambda: not _marked(mark))
    finally:
        for pid in _marked(mark):
            os.kill(pid, signal.SIGKILL)
    if end != signal.SIGKILL:
        assert process.returncode == 128 + end and said.startswith(
            "isp-gym: interrupted; 0 of 2 runs are finished and kept in"
        )
    assert (tmp_path / "x.partial").exists() and not (tmp_path / "x").exists()


def _wait(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def _marked(mark):
    """Processes with the mark in their environment."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{name}/environ").read_bytes()
        except OSError:
            continue
        if f"MARK={mark}".encode() in environment.split(b"\0"):
            found.append(int(name))
    return found


def test_several_at_a_time_begin_with_the_configs_last_and_rows_keep_its_order(tmp_path, tiny, monkeypatch):
    begun = []
    start = Worker.start

    def remember(plan, folder):
        begun.append((plan.agent, plan.seed))
        return start(plan, folder)

    monkeypatch.setattr(Worker, "start", remember)
    agents = {name: {"agent": "input"} for name in ("a", "b")}
    results = compare(tiny(agents, seeds=[0, 1]), tmp_path / "x", jobs=2, console=Console(quiet=True))
    assert begun == [("b", 1), ("b", 0), ("a", 1), ("a", 0)]
    assert [(row["agent"], row["seed"]) for row in results["rows"]] == begun[::-1]
