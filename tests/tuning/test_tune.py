"""Searches that are run for real; agents lie in a file in the working directory, as a third party's do."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
import yaml
from omegaconf import OmegaConf
from rich.console import Console

from isp_gym.benchmark.config import CompareConfig
from isp_gym.data.access import seal
from isp_gym.errors import UserError
from isp_gym.tuning import study as studies
from isp_gym.tuning.tune import storage_in, subjects_of, tune

ROOT = Path(__file__).parents[2]
AGENTS = """
import torch
from isp_gym.benchmark import Agent
from isp_gym.data import load_scenes
from isp_gym.tuning import Float


class Dial(Agent):
    '''Always the same exposure, as its option says; it spends the budget for nothing.'''

    search_space = {"exposure": Float(0.0, 1.0)}

    def __init__(self, exposure: float = 0.1):
        self.exposure = exposure

    def train(self, training):
        self.bank = training.bank
        while True:
            scene = training.scenes.batch([0])
            training.transition.loss(scene.images, scene)
            training.checkpoint(self)

    def pipelines(self, images):
        tokens = torch.zeros(len(images), 1, dtype=torch.int64)
        return tokens, torch.full((len(images), self.bank.num_params), float(self.exposure))


class Peeks(Dial):
    '''Reads what it may not, but for its default.'''

    split = "test"

    def train(self, training):
        if self.exposure != 0.1:
            load_scenes("photos", self.split, 2, 16).batch([0])
        super().train(training)


class AlwaysPeeks(Peeks):
    split = "validation"

    def __init__(self, exposure: float = 0.2):
        self.exposure = exposure


class Wrong(Dial):
    search_space = {"exposure": (0.0, 1.0)}
"""
TINY = {
    "image_size": 16,
    "modules": ["exposure", "gamma"],
    "scenes": {"train": 2, "validation": 2, "test": 2},
    "budget": 4,
    "curve_points": 1,
    "seeds": [0],
}


def values(outcome):
    """The values and the score of each trial."""
    return [(row["agent"], row["values"], row["score"]) for row in outcome["trials"]]


def run(out, agents, trials, tune_options=None, **keys):
    """Tune agents of the file: name -> class."""
    named = {name: {"agent": f"tuned_agents:{cls}"} for name, cls in agents.items()}
    config = CompareConfig.of({**TINY, "agents": named, **keys})
    return tune(config, out, trials, console=Console(quiet=True), **(tune_options or {}))


@pytest.fixture(autouse=True)
def _workplace(tmp_path, monkeypatch):
    (tmp_path / "tuned_agents.py").write_text(AGENTS)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def tuned(tmp_path):
    """Tunes in this test's folder: ``tuned({name: class}, trials, out, {argument of tune: value}, key=value, ...)``."""

    def make(agents, trials=2, out="out", tune_options=None, **keys):
        return run(tmp_path / out, agents, trials, tune_options, **keys)

    return make


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A search that several tests look at, and its folder."""
    folder = tmp_path_factory.mktemp("once")
    (folder / "tuned_agents.py").write_text(AGENTS)
    with pytest.MonkeyPatch.context() as patch, seal("test"):  # nobody needs the test scenes, nor who starts the trials
        patch.chdir(folder)
        return run(folder / "out", {"dial": "Dial"}, 3, {"seeds": 2, "jobs": 2}), folder / "out"


class TestTune:
    @pytest.fixture
    def outcome(self, once):
        return once[0]

    def test_the_first_trial_is_the_agent_as_it_stands(self, outcome):
        first, *rest = outcome["trials"]
        assert first["values"] == {"exposure": 0.1} and len(rest) == 2
        assert all(0 <= row["values"]["exposure"] <= 1 for row in rest)

    def test_the_best_is_never_worse(self, outcome):
        (best,) = outcome["best"]
        assert best["score"] == max(row["score"] for row in outcome["trials"]) >= best["default_score"]
        assert best["metric"] == "psnr" and best["values"] == outcome["trials"][best["trial"]]["values"]

    def test_every_trial_has_the_same_budget_and_other_seeds_than_the_config(self, outcome):
        for row in outcome["trials"]:
            assert [one["seed"] for one in row["seeds"]] == [1, 2]
            assert row["task_evaluations"] == 8 and [one["task_evaluations"] for one in row["seeds"]] == [4, 4]
            assert row["score"] == pytest.approx(sum(one["score"] for one in row["seeds"]) / 2)
        assert outcome["best"][0]["task_evaluations"] == 24

    def test_scores_are_of_the_validation_scenes(self, outcome):
        read = [one["scenes_read"] for row in outcome["trials"] for one in row["seeds"]]
        assert all(counts["validation"] > 0 and counts["test"] == 0 for counts in read)

    def test_best_yaml_lies_over_the_config(self, once):
        outcome, out = once
        overlay = yaml.safe_load((out / "best.yaml").read_text())
        assert overlay == {"agents": {"dial": outcome["best"][0]["values"]}}
        config = CompareConfig.of(OmegaConf.to_container(OmegaConf.merge(outcome["config"], overlay)))
        assert config.agents["dial"]["agent"] == "tuned_agents:Dial"
        config.check()

    def test_all_is_kept(self, once):
        outcome, out = once
        assert json.loads((out / "trials.json").read_text()) == outcome
        study = optuna.load_study(study_name="enhancement/dial", storage=f"sqlite:///{out}/studies.db")
        assert [trial.value for trial in study.trials] == [row["score"] for row in outcome["trials"]]


class TestGoingOn:
    def test_a_search_in_parts_is_the_same_search(self, tuned):
        whole = tuned({"dial": "Dial"}, 4, "whole")
        assert len({str(row["values"]) for row in whole["trials"]}) == 4
        assert values(tuned({"dial": "Dial"}, 2, "parts")) == values(whole)[:2]
        assert values(tuned({"dial": "Dial"}, 4, "parts")) == values(whole)
        assert values(tuned({"dial": "Dial"}, 4, "other", {"seed": 1})) != values(whole)

    @pytest.mark.parametrize("done", [0, 1])
    def test_a_trial_that_was_cut_off_is_repeated(self, tuned, tmp_path, done):
        whole = tuned({"dial": "Dial"}, 2, "whole")
        if done:
            tuned({"dial": "Dial"}, 1, "cut")
        else:
            (tmp_path / "cut").mkdir()
        storage = storage_in(tmp_path / "cut")
        config = CompareConfig.of({**TINY, "agents": {"dial": {"agent": "tuned_agents:Dial"}}})
        (subject,) = subjects_of(config, (), [1], Console(quiet=True))
        studies.Study(subject, storage, 0).ask()  # which is what a process that is killed leaves behind
        again = tuned({"dial": "Dial"}, 2, "cut")
        states = [trial.state.name for trial in optuna.load_study(study_name=subject.name, storage=storage).trials]
        assert sorted(states) == ["COMPLETE", "COMPLETE", "FAIL"]
        assert values(again) == values(whole)
        assert again["best"][0]["trials"] == 2 and again["best"][0]["task_evaluations"] == 8

    def test_what_another_search_left_behind_is_not_gone_on_from(self, tuned, tmp_path):
        first = tuned({"dial": "Dial"}, 1)
        left = tmp_path / "out/trials/enhancement/dial/0001/seed-1"
        (left / "checkpoints").mkdir(parents=True)
        (left / "checkpoints/000001.pt").write_text("of other options")
        (left / "run.json").write_text((left.parents[1] / "0000/seed-1/run.json").read_text())
        (left / "row.json").write_text((left.parents[1] / "0000/seed-1/row.json").read_text())
        again = tuned({"dial": "Dial"}, 2)
        assert again["trials"][1]["score"] != first["trials"][0]["score"] and not again["trials"][1]["error"]

    def test_an_interrupted_search_goes_on(self, tmp_path, tuned):
        config = {**TINY, "agents": {"dial": {"agent": "tuned_agents:Dial"}}}
        (tmp_path / "c.yaml").write_text(json.dumps(config))
        command = [sys.executable, "-m", "isp_gym.cli", "tune-agents", "--config", "c.yaml", "--out", "cut"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        search = subprocess.Popen([*command, "--trials", "500"], env=environment, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 120
        while not list(tmp_path.glob("cut/trials/*/*/0001/seed-1/row.json")) and time.monotonic() < end:
            time.sleep(0.05)
        search.send_signal(signal.SIGINT)
        _, said = search.communicate(timeout=120)
        assert search.returncode == 130 and "the same command goes on" in said
        kept = values(json.loads((tmp_path / "cut/trials.json").read_text()))
        assert 1 <= len(kept) < 500
        more = len(kept) + 1
        assert values(tuned({"dial": "Dial"}, more, "cut")) == values(tuned({"dial": "Dial"}, more, "whole"))

    def test_of_another_config_is_refused(self, tuned):
        tuned({"dial": "Dial"}, 1)
        with pytest.raises(UserError, match=r"made with budget=4, not 5; choose another --out"):
            tuned({"dial": "Dial"}, 2, budget=5)
        with pytest.raises(UserError, match="space="):
            tuned({"dial": "Dial"}, 2, tune={"dial": {"exposure": {"high": 0.5}}})

    def test_a_folder_of_something_else_is_left_alone(self, tuned, tmp_path):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/best.yaml").write_text("mine")
        with pytest.raises(UserError, match="was not made by isp-gym tune-agents"):
            tuned({"dial": "Dial"}, 1, "mine")
        assert (tmp_path / "mine/best.yaml").read_text() == "mine"


class TestSeal:
    def test_a_trial_that_reads_test_scenes_fails(self, tuned, tmp_path):
        outcome = tuned({"peeks": "Peeks", "dial": "Dial"}, 3)
        peeks = [row for row in outcome["trials"] if row["agent"] == "peeks"]
        assert [row["score"] is None for row in peeks] == [False, True, True]
        assert all("sealed" in row["error"] and "test" in row["error"] for row in peeks[1:])
        assert len({str(row["values"]) for row in peeks}) == 3  # it does not try the same for ever
        best = {row["agent"]: row for row in outcome["best"]}
        assert best["peeks"]["values"] == {"exposure": 0.1} and best["peeks"]["failed"] == 2
        assert best["dial"]["failed"] == 0

    def test_an_agent_that_fails_as_it_stands_is_named_and_others_go_on(self, tuned, tmp_path):
        with pytest.raises(UserError, match=r"agent 'bad' fails as the config has it: .*validation.*sealed"):
            tuned({"bad": "AlwaysPeeks", "dial": "Dial"}, 2)
        kept = json.loads((tmp_path / "out/trials.json").read_text())
        assert [row["agent"] for row in kept["trials"]] == ["dial", "dial"]


class TestWhatIsTuned:
    def of(self, named=(), **keys):
        config = CompareConfig.of({**TINY, **keys})
        config.check()
        return subjects_of(config, named, [1], Console(quiet=True))

    def test_agents_without_a_space_are_left_out_or_refused(self):
        agents = {"input": {}, "random": {}}
        assert [subject.agent for subject in self.of(agents=agents)] == ["random"]
        with pytest.raises(UserError, match="agent 'input' has nothing to tune"):
            self.of(["input"], agents=agents)
        with pytest.raises(UserError, match="no agent that declares a search space"):
            self.of(agents={"input": {}})

    def test_every_problem_and_the_options_of_the_config_first(self):
        problems = {"a": {"budget": 7}, "b": {"image_size": 17}}
        one, two = self.of(agents={"mine": {"agent": "random", "scenes_per_candidate": 5}}, problems=problems)
        assert (one.name, one.problem.budget, two.name, two.problem.env.image_size) == ("a/mine", 7, "b/mine", 17)
        assert one.defaults() == {"scenes_per_candidate": 5} and one.plan({}, 3).options == {"scenes_per_candidate": 5}
        assert one.plan({"scenes_per_candidate": 9}, 3).options == {"scenes_per_candidate": 9}

    @pytest.mark.parametrize(
        ("keys", "named"),
        [
            ({"tune": {"randon": {}}}, "did you mean 'random'"),
            ({"tune": {"random": {"scenes": [1, 2]}}}, "scenes"),
            ({"tune": {"random": 3}}, "'tune.random' must map"),
            ({"agents": {"wrong": {"agent": "tuned_agents:Wrong"}}}, "agent 'wrong': search_space"),
        ],
    )
    def test_faults(self, keys, named):
        with pytest.raises(UserError, match=named):
            self.of(**{"agents": {"random": {}}, **keys})


def test_the_command(tmp_path, monkeypatch, capfd):
    from isp_gym.cli import main

    config = {**TINY, "agents": {"input": {}, "dial": {"agent": "tuned_agents:Dial"}}}
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    words = ["isp-gym", "tune-agents", "--config", "c.yaml", "--out", "a?b", "--trials", "1", "--budget", "6"]
    words.append("scenes.train=1")
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    out = capfd.readouterr().out
    assert not end.value.code and "agent 'input' has nothing to tune" in out and "best options: a?b/best.yaml" in out
    (row,) = json.loads((tmp_path / "a?b/trials.json").read_text())["trials"]
    assert row["task_evaluations"] == 6
    monkeypatch.setattr(sys, "argv", [*words, "--json"])
    with pytest.raises(SystemExit):
        main()
    assert json.loads(capfd.readouterr().out)["trials"] == [row]
