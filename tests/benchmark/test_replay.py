"""Replay finds whatever was changed, also by somebody who writes a new digest under it."""

import contextlib
import json
import re
import shutil
import sys
from shutil import copytree

import pytest
from safetensors.torch import load_file, save_file

from isp_gym import plugins
from isp_gym.benchmark.files import digest_of_folder
from isp_gym.benchmark.replay import replay_results
from isp_gym.benchmark.results import with_digest
from isp_gym.errors import UserError


@pytest.fixture
def forge(finished, tmp_path):
    """A copy of the finished comparison that ``forge(agent, change)`` changes: ``change(row, run folder)``."""
    copytree(finished[1], tmp_path / "x")
    path = tmp_path / "x" / "results.json"

    def change(agent, how, digest=True):
        results = json.loads(path.read_text())
        for i, row in enumerate(results["rows"]):
            if row["agent"] == agent:
                how(row, tmp_path / "x" / "runs" / agent / "seed-1")
                results["rows"][i] = with_digest(row) if digest else row
        path.write_text(json.dumps(results))
        return path

    return change


def faults_of(path, **options):
    return {one.what.split()[1]: one.faults for one in replay_results(path, **options)}


class TestWhatIsSound:
    def test_replays_by_pipelines_policies_and_logs(self, finished):
        replayed = replay_results(finished[1] / "results.json")
        assert [(one.what, one.checked, one.faults) for one in replayed] == [
            ("enhancement camera seed 1", ["policy", "log"], []),
            ("enhancement random seed 1", ["pipelines", "policy", "log"], []),
            ("enhancement ppo seed 1", ["pipelines", "policy", "log"], []),
            ("enhancement posisp seed 1", ["pipelines", "policy", "log"], []),
        ]
        assert replayed[0].as_row()["result"] == "same"

    def test_the_file_alone_replays_what_has_pipelines(self, finished, tmp_path):
        path = tmp_path / "alone.json"
        path.write_text((finished[1] / "results.json").read_text())
        camera, *others = replay_results(path)
        assert camera.checked == [] and "saved policy is not beside the file" in camera.reason
        assert camera.as_row()["result"] == "not replayed"
        assert all((one.checked, one.faults) == (["pipelines"], []) for one in others)

    def test_a_sample_is_the_same_each_time(self, finished):
        first, again = (replay_results(finished[1] / "results.json", sample=2) for _ in range(2))
        assert [one.what for one in first] == [one.what for one in again] and len(first) == 2
        assert all(one.checked and not one.faults for one in first)

    def test_files_of_other_systems_and_absolute_working_directories(self, finished, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        assert not any(faults_of(finished[1] / "results.json").values())


def score(row, run):
    row["metrics"]["psnr"] += 0.01


def scene_score(row, run):
    # Two changes that leave the mean as it was.
    row["scenes"][0]["psnr"] += 1
    row["scenes"][1]["psnr"] -= 1


def scene_score_removed(row, run):
    del row["scenes"][0]["ssim"]


def metric_of_its_own(row, run):
    row["metrics"]["beauty"] = 1.0


def parameter(row, run):
    value = row["scenes"][0]["params"][0][0]
    row["scenes"][0]["params"][0][0] = value + 0.1 if value < 0.5 else value - 0.1


def sequence(row, run):
    names = row["scenes"][0]["sequence"]
    row["scenes"][0]["sequence"], row["scenes"][0]["params"] = names[:-1], row["scenes"][0]["params"][:-1]


def unknown_module(row, run):
    row["scenes"][0]["sequence"][0] = "tone"


def scene_twice(row, run):
    row["scenes"][1] = row["scenes"][0]


def scene_missing(row, run):
    row["scenes"].pop()


def scene_of_another_split(row, run):
    row["scenes"][0]["scene"] = row["train_scenes_read"][0]


def photo(row, run):
    row["scenes"][0]["photo"] = "another"


def weights(row, run):
    file = run / "policy" / "policy.safetensors"
    tensors = load_file(file)
    save_file({key: -value if value.is_floating_point() else value for key, value in tensors.items()}, file)


def weights_and_their_digest(row, run):
    weights(row, run)
    row["policy"] = digest_of_folder(run / "policy")


def curve(row, run):
    row["curve"][0]["psnr"] += 1


def test_curve(row, run):
    row["curve"][-1]["test_psnr"] += 1


test_curve.__test__ = False


def curve_and_log(row, run):
    curve(row, run)
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    for line in lines:
        if line.get("point", {}).get("task_evaluations") == row["curve"][0]["task_evaluations"]:
            line["point"]["psnr"] += 1
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def budget_spent(row, run):
    row["task_evaluations"] -= 8
    row["curve"][-1]["task_evaluations"] -= 8


def budget_overspent(row, run):
    row["task_evaluations"] = row["curve"][-1]["task_evaluations"] = 49


def env_steps(row, run):
    row["env_steps"] += 1


def end(row, run):
    row["ended"] = "run_timeout"


def log_cut(row, run):
    lines = (run / "log.jsonl").read_text().splitlines()
    (run / "log.jsonl").write_text("\n".join(lines[:-1]))


def log_damaged(row, run):
    (run / "log.jsonl").write_text("{half")


def module_version(row, run):
    modules = row["made_with"]["bank"]["modules"]
    name = next(iter(modules))
    modules[name] = json.loads(json.dumps(modules[name]).replace("1", "2"))


FORGERIES = {
    score: "psnr was recorded as",
    scene_score: "psnr was recorded as",
    scene_score_removed: "ssim was recorded as nan",
    metric_of_its_own: r"its metrics are \['beauty', 'psnr', 'ssim'\]",
    parameter: "psnr was recorded as|parameters are others",
    sequence: "psnr was recorded as|its sequence is",
    unknown_module: "has no module 'tone'",
    scene_twice: "its scenes are not the 3 of the test split",
    scene_missing: "its scenes are not the 3 of the test split",
    scene_of_another_split: "its scenes are not the 3 of the test split",
    photo: "is of another photo than 'another'",
    weights: "the saved weights are not those",
    weights_and_their_digest: "policy: .*(psnr was recorded as|its sequence is|parameters are others)",
    curve: "the curve's point at .* is not the one in the run log",
    test_curve: "the curve's point at .*, test: psnr was recorded as",
    curve_and_log: "the curve's point at .*, validation: psnr was recorded as",
    budget_spent: "task_evaluations is .*, and in the run log",
    budget_overspent: "49 task evaluations were spent of 48",
    env_steps: "env_steps is .*, and in the run log",
    end: "ended is run_timeout, and in the run log",
    log_cut: "the run log has no end",
    log_damaged: "the run log .* is damaged",
    module_version: "module",
}


@pytest.mark.parametrize("how", FORGERIES, ids=lambda how: how.__name__)
def test_a_forgery_is_found_in_its_row_and_no_other(forge, how):
    agent = "ppo" if how.__name__.startswith("weights") else "random"
    faults = faults_of(forge(agent, how))
    said = " | ".join(faults.pop(agent))
    assert said and re.search(FORGERIES[how], said), said
    assert not any(faults.values())


@pytest.mark.parametrize("agent", ["camera", "random", "ppo", "posisp"])
@pytest.mark.parametrize("how", [score, scene_score], ids=lambda how: how.__name__)
def test_scores_of_every_kind_of_agent(forge, agent, how):
    assert "psnr was recorded as" in faults_of(forge(agent, how))[agent][0]


def test_a_change_without_a_new_digest_is_found_by_it(forge):
    def notes(row, run):
        row["controller_parameters"] = 1

    assert "changed by hand" in faults_of(forge("posisp", notes, digest=False))["posisp"][0]


@pytest.mark.parametrize("place", ["metrics", "scene"])
@pytest.mark.parametrize("value", ["NaN", "null", "1e999"])
def test_numbers_that_are_none(forge, place, value):
    def mark(row, run):
        (row["metrics"] if place == "metrics" else row["scenes"][0])["psnr"] = 123456.0

    path = forge("camera", mark)
    path.write_text(path.read_text().replace("123456.0", value))
    with contextlib.suppress(UserError):  # the file is refused as a whole
        assert faults_of(path)["camera"]


class TestData:
    def test_that_has_changed_is_named(self, tiny, quietly, photos, tmp_path):
        quietly(tiny(data=f"folder:{photos()}"), tmp_path / "x")
        assert faults_of(tmp_path / "x" / "results.json") == {"input": []}
        photos(seed=1)
        faults = faults_of(tmp_path / "x" / "results.json")
        assert "psnr was recorded as" in faults["input"][0]
        assert any("has changed since: the test split's" in fault for fault in faults["file"])

    def test_that_is_gone_is_an_error(self, tiny, quietly, photos, tmp_path):
        quietly(tiny(data=f"folder:{photos()}"), tmp_path / "x")
        (tmp_path / "photos").rename(tmp_path / "moved")
        with pytest.raises(UserError, match=r"results\.json', its config: .*photos"):
            replay_results(tmp_path / "x" / "results.json")


class TestRegret:
    def test_is_computed_again(self, tiny, quietly, tmp_path):
        from rich.console import Console

        from isp_gym.benchmark.oracle import find_oracle

        keys = {"modules": ["exposure", "gamma"], "oracle": {"scenes": 2, "steps": 3, "leaders": 1}}
        (problem,) = tiny(**keys).problems.values()
        find_oracle(problem, tmp_path / "o", 1, Console(quiet=True))
        keys["oracle"]["file"] = str(tmp_path / "o" / "oracle.json")
        results = quietly(tiny({"random": {"scenes_per_candidate": 2}}, **keys), tmp_path / "x")
        path = tmp_path / "x" / "results.json"
        assert faults_of(path) == {"random": []}
        results["rows"] = [with_digest({**results["rows"][0], "regret": results["rows"][0]["regret"] - 0.1})]
        path.write_text(json.dumps(results))
        assert "policy: regret was recorded as" in faults_of(path)["random"][0]


class TestCodeOfOthers:
    AGENT = """
from isp_gym.benchmark import Agent
open("imported", "w").close()
class Half(Agent):
    def train(self, training): pass
    def enhance(self, images): return images / 2
    def state(self): return {}
    def load_state(self, state): pass
"""

    @pytest.fixture
    def path(self, tiny, quietly, tmp_path, monkeypatch):
        (tmp_path / "code_of_others.py").write_text(self.AGENT)
        monkeypatch.chdir(tmp_path)
        quietly(tiny({"half": {"agent": "code_of_others:Half"}}), tmp_path / "x")
        (tmp_path / "imported").unlink()
        monkeypatch.delitem(sys.modules, "code_of_others", raising=False)
        return tmp_path / "x" / "results.json"

    def test_is_not_imported_unless_the_user_allows_it(self, path):
        with plugins.untrusted():
            (one,) = replay_results(path)
        assert "add --allow-code to run it" in " ".join([*one.faults, one.reason])
        assert not (path.parent.parent / "imported").exists()
        with plugins.untrusted(allow=True):
            (one,) = replay_results(path)
        assert (one.checked, one.faults) == (["policy", "log"], [])
        assert (path.parent.parent / "imported").exists()


def _change(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def _of(out, agent):
    (run,) = (out / "runs" / agent).iterdir()
    return run


BESIDE = {
    "a row is missing": lambda out: _change(out / "results.json", lambda c: c["rows"].pop()),
    "a row is there twice": lambda out: _change(out / "results.json", lambda c: c["rows"].append(c["rows"][0])),
    "a seed more in the config": lambda out: _change(out / "results.json", lambda c: c["config"]["seeds"].append(99)),
    "another checksum": lambda out: _change(
        out / "results.json", lambda c: next(iter(c["data"].values()))["checksums"].update(test="0" * 64)
    ),
    "the run's card has another seed": lambda out: _change(_of(out, "random") / "run.json", lambda c: c.update(seed=5)),
    "the run's card has another config": lambda out: _change(
        _of(out, "random") / "run.json", lambda c: c["config"].update(image_size=99)
    ),
    "the run's row has another score": lambda out: _change(
        _of(out, "random") / "row.json", lambda c: c["metrics"].update(psnr=1.0)
    ),
    "a test scene was read that the row does not count": lambda out: (
        (_of(out, "random") / "scenes_read.txt").open("a").write('["test", "test/other.png/0"]\n')
    ),
    "a point's policy is gone": lambda out: shutil.rmtree(next((_of(out, "random") / "points").iterdir())),
}


@pytest.mark.parametrize("what", BESIDE)
def test_what_lies_beside_a_row_must_agree_with_it(finished, tmp_path, what):
    out = tmp_path / "copy"
    shutil.copytree(finished[1], out)
    BESIDE[what](out)
    assert any(one.faults for one in replay_results(out / "results.json"))
