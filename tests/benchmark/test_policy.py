import json
from dataclasses import replace
from shutil import copytree

import pytest
import torch
from rich.console import Console

from agents import POSISP
from agents.sequence.released import PREDICTOR_LAYERS
from isp_gym.benchmark.compare import compare
from isp_gym.benchmark.config import CompareConfig, SceneCounts
from isp_gym.benchmark.evaluate_policy import evaluate_policy, settings_for
from isp_gym.benchmark.policy import load_policy
from isp_gym.benchmark.replay import replay_file
from isp_gym.errors import UserError
from isp_gym.modules import get_bank

SMALL = CompareConfig(
    scenes=SceneCounts(8, 2, 3),
    image_size=36,
    modules=["exposure", "gamma", "contrast"],
    budget=64,
    seeds=[1],
    curve_points=2,
    pictures=1,
    agents={
        "camera": {},
        "random": {"scenes_per_candidate": 8},
        "ppo": {"agent": "stepwise-ppo", "num_envs": 4, "n_steps": 8, "batch_size": 16, "n_epochs": 1},
        "posisp": {"width": 8},
    },
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "x"
    return compare(SMALL, out, 1, Console(quiet=True)), out


@pytest.mark.parametrize("agent", SMALL.agents)
class TestARun:
    def test_evaluates_to_what_was_reported(self, finished, agent):
        results, out = finished
        run = str(out / "runs" / agent / "seed-1")
        row = evaluate_policy(run, settings_for(run, None, (), None, None), "test")
        expected = next(row for row in results["rows"] if row["agent"] == agent)
        assert row["metrics"] == pytest.approx(expected["metrics"])
        assert [scene["scene"] for scene in row["scenes"]] == [scene["scene"] for scene in expected["scenes"]]


@pytest.mark.parametrize("agent", ["camera", "random", "posisp"])
def test_a_run_on_other_scenes(finished, agent):
    run = str(finished[1] / "runs" / agent / "seed-1")
    row = evaluate_policy(run, settings_for(run, None, ["image_size=48"], None, None), "validation")
    assert len(row["scenes"]) == 2 and row["split"] == "validation"


def test_an_image_size_that_ppo_was_not_trained_on(finished):
    run = str(finished[1] / "runs/ppo/seed-1")
    with pytest.raises(UserError, match="stepwise-ppo was trained on images of 36x36"):
        evaluate_policy(run, settings_for(run, None, ["image_size=48"], None, None), "validation")


class TestTestCurve:
    def test_ends_with_the_score_of_the_row(self, finished):
        rows = {row["agent"]: row for row in finished[0]["rows"]}
        for agent in ("ppo", "posisp"):
            curve = rows[agent]["curve"]
            assert curve[-1]["test_psnr"] == pytest.approx(rows[agent]["metrics"]["psnr"])
            assert all("test_psnr" in point for point in curve)
        assert "test_psnr" not in rows["random"]["curve"][0]


def to_released(agent):
    """The names of the authors' release."""
    names = {ours: theirs for theirs, ours in PREDICTOR_LAYERS.items()}
    state = {f"action_agent.{k.replace('film', 'step2film.0')}": v for k, v in agent.policy.state_dict().items()}
    for key, value in agent.predictor.state_dict().items():
        layer, _, kind = key.rpartition(".")
        state[f"param_net.{names[layer]}.{kind}"] = value
    return state


class TestOtherSpecs:
    def test_a_released_checkpoint_brings_its_bank(self, tmp_path):
        saved = POSISP(linear_input=True, neutral_start=False)
        saved.build(get_bank("reference"), 10)
        torch.save({"iter": 1, "agent_model": to_released(saved)}, tmp_path / "policy.pth")
        spec = f"posisp:{tmp_path / 'policy.pth'}"
        row = evaluate_policy(spec, replace(SMALL, modules=None), "test")
        assert row["task_evaluations"] == 0 and len(row["scenes"][0]["params"]) == 27

    def test_networks_go_where_the_images_are(self, finished, tmp_path):
        run = finished[1] / "runs/posisp/seed-1"
        agent, _, _ = load_policy(str(run), replace(SMALL, device="meta"))
        assert {p.device.type for p in agent.networks.parameters()} == {"meta"}

    def test_an_agent_by_name_is_trained_within_a_budget(self):
        assert evaluate_policy("camera", SMALL, "test")["task_evaluations"] == 0
        assert evaluate_policy("random", SMALL, "test", budget=32)["task_evaluations"] == 32

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("runs/none/seed-0", "no run at"),
            ("posips", "did you mean 'posisp'"),
            ("posisp:none.pth", "no checkpoint at 'none.pth'"),
            ("camera:x.pth", "reads no files"),
        ],
    )
    def test_faults_are_named(self, spec, message):
        with pytest.raises(UserError, match=message):
            evaluate_policy(spec, SMALL, "test")

    def test_a_folder_that_is_no_run(self, tmp_path):
        with pytest.raises(UserError, match="is no finished run"):
            settings_for(str(tmp_path), None, (), None, None)

    @pytest.mark.parametrize(
        ("name", "content"),
        [("run.json", "{"), ("run.json", "[]"), ("policy/posisp.json", ""), ("policy/posisp.safetensors", "")],
    )
    def test_a_damaged_run(self, finished, tmp_path, name, content):
        copytree(finished[1] / "runs/posisp/seed-1", tmp_path / "run")
        (tmp_path / "run" / name).write_text(content)
        with pytest.raises(UserError, match=r"is damaged|holds no trained posisp"):
            evaluate_policy(str(tmp_path / "run"), SMALL, "test")

    def test_an_unknown_split(self):
        with pytest.raises(UserError, match="unknown split"):
            evaluate_policy("input", SMALL, "tset")


class TestReplay:
    def test_rows_replay(self, finished):
        rows = replay_file(finished[1] / "results.json")
        assert [row["what"] for row in rows] == ["random seed 1", "ppo seed 1", "posisp seed 1"]
        assert max(row["difference"] for row in rows) < 1e-5

    def test_a_changed_pipeline_does_not(self, finished, tmp_path):
        results = json.loads((finished[1] / "results.json").read_text())
        results["rows"][1]["scenes"][0]["params"] = [0.9] * 3
        results["rows"][1]["scenes"][0]["sequence"] = ["exposure"]
        (tmp_path / "r.json").write_text(json.dumps(results))
        assert replay_file(tmp_path / "r.json")[0]["difference"] > 1e-3

    @pytest.mark.parametrize("content", ["[]", "{}", "no json"])
    def test_something_else(self, content, tmp_path):
        (tmp_path / "r.json").write_text(content)
        with pytest.raises(UserError, match="neither a results"):
            replay_file(tmp_path / "r.json")


def test_a_typed_order_is_kept():
    agent = POSISP()
    setting = replace(SMALL, order="typed", modules=["gamma", "white_balance", "ccm"]).setting("train")
    agent.build(setting.make_bank(), setting.length, setting.typed)
    for row in agent.policy.sample(64).sequences.tolist():
        gamma = row.index(0) if 0 in row else 9
        assert all(place < gamma for place, token in enumerate(row) if token in (1, 2)) or gamma == 9
    assert torch.is_tensor(agent.sequence)
