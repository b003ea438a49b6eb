"""A small comparison, run for real: in processes of its own, from config to report."""

import json
import re
from html.parser import HTMLParser

import cv2
import pytest
from rich.console import Console

from isp_gym.benchmark.compare import compare
from isp_gym.benchmark.config import CompareConfig, SceneCounts
from isp_gym.errors import UserError


def small(**changes) -> CompareConfig:
    options = {
        "image_size": 16,
        "scenes": SceneCounts(train=8, validation=4, test=4),
        "budget": 48,
        "seeds": [0, 1],
        "curve_points": 3,
        "pictures": 2,
        "agents": {
            "input": {},
            "camera": {},
            "random": {"scenes_per_candidate": 4},
            "posisp": {"batch_size": 8},
        },
    }
    return CompareConfig(**{**options, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("compare") / "run"
    return compare(small(), out, jobs=2, console=Console(quiet=True)), out


class TestResults:
    def test_one_row_for_each_agent_and_seed_in_the_configs_order(self, finished):
        results, out = finished
        assert json.loads((out / "results.json").read_text()) == results
        runs = [(row["agent"], row["seed"]) for row in results["rows"]]
        assert runs == [(agent, seed) for agent in small().agents for seed in (0, 1)]
        for row in results["rows"]:
            assert (row["task"], row["data"], row["split"]) == ("enhancement", "photos", "test")
            assert set(row["metrics"]) == {"psnr", "ssim"}

    def test_all_learners_spend_the_same(self, finished):
        spent = {row["agent"]: row["task_evaluations"] for row in finished[0]["rows"]}
        # POS-ISP ends when less is left than the sequences for one image may cost.
        assert 48 - 4 < spent.pop("posisp") <= 48
        assert spent == {"input": 0, "camera": 0, "random": 48}

    def test_training_read_no_scene_of_another_split(self, finished):
        for row in finished[0]["rows"]:
            assert all(scene.startswith("train/") for scene in row["train_scenes_read"])
            assert all(scene["scene"].startswith("test/") for scene in row["scenes"])

    def test_a_row_can_be_computed_again_from_what_it_carries(self, finished):
        import torch

        setting = small().setting("test")
        scenes, bank, task = setting.load_scenes(), setting.make_bank(), setting.make_task()
        row = next(row for row in finished[0]["rows"] if row["agent"] == "posisp")
        for i, scene in enumerate(row["scenes"]):
            tokens = [bank.names.index(name) for name in scene["sequence"]]
            batch = scenes.batch([scenes.index(scene["scene"])])
            sequence = torch.tensor([[*tokens, bank.end_token]])
            output = bank(batch.images, sequence, torch.tensor([scene["params"]]))
            assert task.meter().add(output, batch)["psnr"].item() == pytest.approx(row["scenes"][i]["psnr"], abs=1e-6)

    def test_curves_end_with_the_budget(self, finished):
        for row in finished[0]["rows"]:
            evaluations = [point["task_evaluations"] for point in row["curve"]]
            assert evaluations == sorted(set(evaluations))
            assert evaluations[-1:] == [spent for spent in [row["task_evaluations"]] if spent]

    def test_pictures(self, finished):
        picture = cv2.imread(str(finished[1] / "runs" / "camera" / "seed-1" / "test-1.png"))
        assert picture.shape == (16, 16, 3)
        assert not (finished[1] / "runs" / "camera" / "seed-1" / "test-2.png").exists()

    def test_number_of_jobs_changes_no_score(self, finished, tmp_path):
        agents = {"posisp": {"batch_size": 8}}
        again = compare(small(agents=agents, seeds=[1]), tmp_path / "again", jobs=1, console=Console(quiet=True))
        before = next(row for row in finished[0]["rows"] if (row["agent"], row["seed"]) == ("posisp", 1))
        assert again["rows"][0]["metrics"] == before["metrics"]
        assert again["rows"][0]["curve"] == before["curve"]


class _References(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


class TestReport:
    def test_opens_without_a_network(self, finished):
        page = (finished[1] / "report.html").read_text()
        parser = _References()
        parser.feed(page)
        assert all(value.startswith(("data:image/png;base64,", "#")) for value in parser.found)
        assert not re.search(r"url\(\s*['\"]?http|@import|<script", page)

    def test_shows_table_curves_pictures_and_pipelines(self, finished):
        page = (finished[1] / "report.html").read_text()
        for agent in small().agents:
            assert f"<td>{agent}</td>" in page
        assert page.count("<svg") == 5  # validation and test score, entropy, probability, length
        assert page.count("<figure>") == 2 * 6  # input and four agents and target, for two scenes
        assert " EV" in page  # a pipeline in physical units


class TestFolder:
    def test_an_earlier_run_is_kept(self, tmp_path):
        agents = {"input": {}}
        for _ in range(2):
            compare(small(agents=agents, seeds=[0]), tmp_path / "run", jobs=1, console=Console(quiet=True))
        assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.1"]

    def test_a_place_that_cannot_be_written(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match="cannot write to"):
            compare(small(agents={"input": {}}), tmp_path / "file" / "run", console=Console(quiet=True))

    def test_somebody_elses_folder_is_left_alone(self, tmp_path):
        (tmp_path / "thesis.txt").write_text("three years of work")
        with pytest.raises(UserError, match="holds no results of isp-gym"):
            compare(small(), tmp_path, console=Console(quiet=True))
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


class TestThirdParty:
    SOURCE = """
import torch
from isp_gym.errors import UserError

class Fails:
    def train(self, training): raise RuntimeError("out of luck")
    def enhance(self, images): return images

class Peeks:
    def train(self, training):
        import gymnasium
        gymnasium.make("ISP/Sequence-v0", split="test").reset()
    def enhance(self, images): return images

class Endless:
    def train(self, training):
        env = training.make("ISP/Sequence-v0")
        while True:
            env.reset(seed=0)
            env.step(env.action_space.sample())
    def enhance(self, images): return images
"""

    def run(self, tmp_path, monkeypatch, name):
        (tmp_path / "third_party.py").write_text(self.SOURCE)
        monkeypatch.chdir(tmp_path)
        config = small(agents={"x": {"agent": f"third_party:{name}"}}, seeds=[0])
        return compare(config, tmp_path / "run", jobs=1, console=Console(quiet=True))

    def test_failure_is_one_line_and_leaves_no_results(self, tmp_path, monkeypatch):
        with pytest.raises(UserError, match="agent 'x', seed 0 failed: RuntimeError: out of luck") as caught:
            self.run(tmp_path, monkeypatch, "Fails")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "run").exists()

    def test_test_scenes_are_sealed_during_training(self, tmp_path, monkeypatch):
        with pytest.raises(UserError, match="test"):
            self.run(tmp_path, monkeypatch, "Peeks")

    def test_the_budget_ends_an_endless_training(self, tmp_path, monkeypatch):
        assert self.run(tmp_path, monkeypatch, "Endless")["rows"][0]["task_evaluations"] == 48
