"""Policies by their SPEC, and which scenes they are evaluated on."""

from dataclasses import replace
from shutil import copytree

import pytest
import torch

from agents import POSISP
from agents.sequence.released import PREDICTOR_LAYERS
from baselines import RandomSearch
from isp_gym.benchmark.policy import evaluate_policy, load_policy, problem_for
from isp_gym.errors import UserError
from isp_gym.modules import get_bank
from isp_gym.pipelines import Rules

AGENTS = ["camera", "random", "ppo", "posisp"]


@pytest.fixture
def problem(tiny):
    """Where the policies below are evaluated."""
    (problem,) = tiny(image_size=36, budget=48).problems.values()
    return problem


def evaluated(run, *overrides, split="test"):
    return evaluate_policy(str(run), problem_for(str(run), None, overrides, None, None), split)


@pytest.mark.parametrize("agent", AGENTS)
class TestARun:
    def test_evaluates_to_what_was_reported(self, finished, agent):
        results, out = finished
        row = evaluated(out / "runs" / agent / "seed-1")
        expected = next(row for row in results["rows"] if row["agent"] == agent)
        assert row["metrics"] == expected["metrics"] and row["scenes"] == expected["scenes"]
        assert row["refused"] == expected["refused"] and row["task_evaluations"] == 0


@pytest.mark.parametrize("agent", ["camera", "random", "posisp"])
def test_a_run_on_other_scenes(finished, agent):
    row = evaluated(finished[1] / "runs" / agent / "seed-1", "image_size=48", split="validation")
    assert len(row["scenes"]) == 2 and row["split"] == "validation"


def test_an_image_size_that_ppo_was_not_trained_on(finished):
    with pytest.raises(UserError, match="stepwise-ppo was trained on images of 36x36"):
        evaluated(finished[1] / "runs/ppo/seed-1", "image_size=48", split="validation")


class TestTestCurve:
    def test_each_point_has_the_score_of_its_policy_and_the_rows_is_among_them(self, finished):
        for row in finished[0]["rows"][1:]:
            scores = {point["task_evaluations"]: point["test_psnr"] for point in row["curve"]}
            assert scores[row["chosen_at"]] == pytest.approx(row["metrics"]["psnr"])


def to_released(agent):
    """The names of the authors' release."""
    names = {ours: theirs for theirs, ours in PREDICTOR_LAYERS.items()}
    state = {f"action_agent.{k.replace('film', 'step2film.0')}": v for k, v in agent.policy.state_dict().items()}
    for key, value in agent.predictor.state_dict().items():
        layer, _, kind = key.rpartition(".")
        state[f"param_net.{names[layer]}.{kind}"] = value
    return state


class TestOtherSpecs:
    def test_a_released_checkpoint_brings_its_bank(self, problem, tmp_path):
        saved = POSISP(linear_input=True, identity_init=False)
        saved.build(Rules(get_bank("reference"), 10))
        torch.save({"iter": 1, "agent_model": to_released(saved)}, tmp_path / "policy.pth")
        spec = f"posisp:{tmp_path / 'policy.pth'}"
        row = evaluate_policy(spec, problem, "test")
        assert row["task_evaluations"] == 0 and set(row["scenes"][0]["sequence"]) <= set(get_bank("reference").names)
        assert load_policy(spec, problem)[1].env.rules.bank.names == get_bank("reference").names

    def test_networks_go_where_the_images_are(self, finished, problem):
        run = finished[1] / "runs/posisp/seed-1"
        agent, _, _ = load_policy(str(run), replace(problem, env=replace(problem.env, device="meta")))
        assert {p.device.type for p in agent.networks.parameters()} == {"meta"}

    def test_an_agent_by_name_is_trained_within_a_budget(self, problem):
        assert evaluate_policy("camera", problem, "test")["task_evaluations"] == 0
        assert evaluate_policy("random", problem, "test", budget=32)["task_evaluations"] == 32

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("runs/none/seed-0", "no run at"),
            ("posips", "did you mean 'posisp'"),
            ("posisp:none.pth", "no checkpoint at 'none.pth'"),
            ("camera:x.pth", "reads no files"),
        ],
    )
    def test_faults_are_named(self, problem, spec, message):
        with pytest.raises(UserError, match=message):
            evaluate_policy(spec, problem, "test")

    def test_a_folder_that_is_no_run(self, tmp_path):
        with pytest.raises(UserError, match="is no run; give OUT"):
            problem_for(str(tmp_path), None, (), None, None)

    @pytest.mark.parametrize(
        ("name", "content"),
        [("run.json", "{"), ("run.json", "[]"), ("policy/policy.json", ""), ("policy/policy.safetensors", "")],
    )
    def test_a_damaged_run(self, finished, tmp_path, name, content):
        copytree(finished[1] / "runs/posisp/seed-1", tmp_path / "run")
        (tmp_path / "run" / name).write_text(content)
        with pytest.raises(UserError, match=r"is damaged|holds no saved POSISP"):
            evaluated(tmp_path / "run")

    def test_an_unknown_split(self, problem):
        with pytest.raises(UserError, match="unknown split"):
            evaluate_policy("input", problem, "tset")

    def test_an_unfinished_run(self, finished, tmp_path):
        copytree(finished[1] / "runs/posisp/seed-1", tmp_path / "run", ignore=lambda *_: ["policy", "row.json"])
        with pytest.raises(UserError, match="was interrupted; the command that made it goes on"):
            evaluated(tmp_path / "run")

    def test_validation_and_test_are_sealed_while_a_named_agent_learns(self, problem, monkeypatch):
        monkeypatch.setattr(RandomSearch, "train", lambda agent, training: problem.setting("test").load_scenes())
        with pytest.raises(UserError, match="the test split is sealed here"):
            evaluate_policy("random", problem, "test")


@pytest.mark.parametrize(
    ("overrides", "task", "data", "expected"),
    [
        ([], None, None, "photos"),
        ([], "detection", None, "synthetic"),
        (["task=detection"], None, None, "synthetic"),
        (["data=skimage"], "detection", None, "skimage"),
        ([], "enhancement", "synthetic", "synthetic"),
    ],
)
def test_data_is_by_default_what_suits_the_task(overrides, task, data, expected):
    assert problem_for("camera", None, overrides, task, data).env.data == expected


def test_a_file_that_names_no_data(tmp_path):
    (tmp_path / "c.yaml").write_text("agents: {input: {}}")
    assert problem_for("camera", tmp_path / "c.yaml", [], "segmentation", None).env.data == "synthetic"
