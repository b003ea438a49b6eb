"""One run, in this process: what its row says, which policy is tested, and going on after an interruption."""

import json
from dataclasses import replace

import cv2
import jsonschema
import pytest
import torch

from isp_gym.benchmark.agent import Agent
from isp_gym.benchmark.files import digest_of_folder
from isp_gym.benchmark.results import row_digest, schema
from isp_gym.benchmark.run import run
from isp_gym.benchmark.run_context import Stopped
from isp_gym.data import DataSource, MemoryStore, SceneSet
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.modules import get_bank


class Bright(Agent):
    """Tries the levels of its options one after the other, each for two evaluations, and ends with the last.

    Attributes:
        tested: Levels that were asked for pipelines of so many images.
    """

    exact_resume = True

    def __init__(self, levels, final=None, average=False, checkpoints=True):
        self.levels, self.final, self.average, self.checkpoints = levels, final, average, checkpoints
        self.i, self.level = 0, torch.zeros(1)

    def train(self, training):
        self.bank = training.bank
        training.resume(self)
        while self.i < len(self.levels):
            self.level = torch.tensor([self.levels[self.i]]) + 0.01 * torch.rand(1)
            scenes = training.scenes.batch([self.i % len(training.scenes)] * 2)
            training.play(scenes, training.rules.admit(*self.pipelines(scenes.images)))
            self.i += 1
            training.log(level=float(self.level))
            if self.checkpoints:
                training.checkpoint(self, self)
        if self.final is not None:  # as those do who restore the best weights, or average them, and spend nothing
            self.level = torch.tensor([self.final])

    def pipelines(self, images):
        tokens = torch.zeros(len(images), 1, dtype=torch.int64)
        return tokens, self.level.clamp(0, 1).expand(len(images), self.bank.num_params)

    def state(self):
        return {"level": self.level, "modules": list(self.bank.names)}

    def load_state(self, state):
        self.level, self.bank = state["level"], get_bank("stable", tuple(state["modules"]))

    def state_dict(self):
        return {"i": self.i, "level": self.level}

    def load_state_dict(self, state):
        self.i, self.level = state["i"], state["level"]


class CannotBeSaved(Bright):
    state, load_state = Agent.state, Agent.load_state


class Inexact(Bright):
    exact_resume = False


SPEC = f"{__name__}:Bright"
LEVELS = [0.1, 0.9, 0.3, 0.2]  # exposure of .9 is best on dark pictures


class TestTheRow:
    def test_follows_the_schema_and_says_what_was_done(self, run_of, tmp_path):
        row = run_of(SPEC, {"levels": LEVELS}, 5)
        assert json.loads((tmp_path / "run" / "row.json").read_text()) == row
        jsonschema.validate(row, {**schema(), **schema()["$defs"]["row"]})
        assert (row["agent"], row["problem"], row["task"], row["seed"]) == ("agent", "enhancement", "enhancement", 5)
        assert (row["task_evaluations"], row["gradient_evaluations"], row["ended"]) == (8, 0, "agent")
        assert row["refused"] == 0 and row["controller_parameters"] == 0 and row["observes"] == "raw"
        assert [scene["scene"].split("/")[0] for scene in row["scenes"]] == ["test"] * 3
        assert row["metrics"]["psnr"] == pytest.approx(sum(scene["psnr"] for scene in row["scenes"]) / 3)
        assert row["digest"] == row_digest(row) and row["made_with"]["bank"]["modules"].keys() == {
            "exposure",
            "gamma",
            "contrast",
        }

    def test_is_the_same_to_the_bit_but_for_its_cost(self, plan_of, tmp_path):
        plan = plan_of(SPEC, {"levels": LEVELS})
        first, again = run(plan, tmp_path / "a"), run(plan, tmp_path / "b")
        assert first["digest"] == again["digest"] and first["curve"] == again["curve"]
        assert {key for key in first if first[key] != again[key]} <= {"cost", "seconds"}

    def test_pictures_are_of_the_first_test_scenes(self, run_of, tmp_path):
        run_of(SPEC, {"levels": LEVELS}, pictures=2)
        assert cv2.imread(str(tmp_path / "run" / "test-1.png")).shape == (16, 16, 3)
        assert not (tmp_path / "run" / "test-2.png").exists()

    def test_an_agent_that_learns_nothing_has_no_curve(self, run_of):
        row = run_of("camera")
        assert (row["curve"], row["chosen_at"], row["ended"], row["task_evaluations"]) == ([], None, "agent", 0)
        assert row["policy"] and "sequence" not in row["scenes"][0]

    def test_refused_steps_are_counted(self, run_of):
        row = run_of(f"{__name__}:Twice", {"levels": LEVELS[:1]})
        assert row["refused"] == 3 and row["scenes"][0]["sequence"] == ["exposure"]


class Twice(Bright):
    def pipelines(self, images):
        tokens, params = super().pipelines(images)
        return tokens.repeat(1, 2), params


class TestThePolicyThatIsTested:
    def saved_level(self, folder):
        agent = Bright([])
        agent.load(folder)
        return float(agent.level)

    def level_of(self, row):
        return row["scenes"][0]["params"][0][0]

    def test_is_the_best_on_validation_as_it_was_saved(self, run_of, tmp_path):
        row = run_of(SPEC, {"levels": LEVELS}, curve_points=8)
        assert [point["task_evaluations"] for point in row["curve"]] == [2, 4, 6, 8]
        best = max(row["curve"], key=lambda point: point["psnr"])
        assert row["chosen_at"] == best["task_evaluations"] == 4
        assert self.level_of(row) == self.saved_level(tmp_path / "run" / "policy") == pytest.approx(0.9, abs=0.011)
        assert row["policy"] == digest_of_folder(tmp_path / "run" / "policy")
        assert best["test_psnr"] == pytest.approx(row["metrics"]["psnr"])

    @pytest.mark.parametrize("checkpoints", [True, False])
    def test_may_be_what_the_agent_restored_in_the_end_without_spending(self, run_of, tmp_path, checkpoints):
        """What was evaluated was once not what was saved: .9 in the row, the last checkpoint in the file."""
        row = run_of(SPEC, {"levels": [0.1, 0.3], "final": 0.95, "checkpoints": checkpoints})
        assert row["chosen_at"] == row["curve"][-1]["task_evaluations"] == 4
        assert self.level_of(row) == self.saved_level(tmp_path / "run" / "policy") == pytest.approx(0.95)
        assert row["curve"][-1]["test_psnr"] == pytest.approx(row["metrics"]["psnr"])

    def test_is_what_the_agent_is_in_the_end_if_it_cannot_be_saved(self, run_of, tmp_path):
        row = run_of(f"{__name__}:CannotBeSaved", {"levels": LEVELS, "final": 0.25}, curve_points=8)
        assert self.level_of(row) == 0.25 and row["policy"] is None and row["chosen_at"] is None
        assert "test_psnr" not in row["curve"][0] and not (tmp_path / "run" / "policy").exists()

    def test_is_chosen_without_the_test_scenes(self, plan_of, tmp_path, monkeypatch):
        from isp_gym.benchmark import run as module

        asked = []
        evaluate = module.evaluate
        monkeypatch.setattr(
            module, "evaluate", lambda *args, **keys: asked.append(args[1].split) or evaluate(*args, **keys)
        )
        run(plan_of(SPEC, {"levels": LEVELS}, curve_points=8), tmp_path / "run")
        assert asked == ["test"]


class TestInterrupted:
    @pytest.mark.parametrize("at", [1, 2, 3])
    def test_it_ends_as_if_it_had_not_been(self, plan_of, tmp_path, at):
        plan = replace(plan_of(SPEC, {"levels": LEVELS}), checkpoint_seconds=0.0)
        whole = run(plan, tmp_path / "whole")
        self.interrupt(plan, tmp_path / "run", at)
        assert not (tmp_path / "run" / "row.json").exists() and plan.is_card_of(tmp_path / "run")
        row = run(plan, tmp_path / "run")
        assert row["digest"] == whole["digest"] and row["curve"] == whole["curve"]
        assert row["cost"]["resumed"] == 1 and row["resumed_inexactly"] is False
        logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("whole", "run")]
        assert logs[0] == logs[1]
        assert digest_of_folder(tmp_path / "run" / "policy") == digest_of_folder(tmp_path / "whole" / "policy")
        assert not (tmp_path / "run" / "checkpoints").exists()

    def interrupt(self, plan, folder, at):
        """Ask for an end, as a signal does, after so many checkpoints."""

        def watch(context):
            checkpoint, count = context.checkpoint, iter(range(1, 99))

            def counted(*arguments):
                context.stop_requested = next(count) == at
                checkpoint(*arguments)

            context.checkpoint = counted

        with pytest.raises(Stopped):
            run(plan, folder, watch)

    def test_what_was_written_after_the_checkpoint_is_written_again(self, plan_of, tmp_path):
        plan = plan_of(SPEC, {"levels": LEVELS})
        whole = run(plan, tmp_path / "whole")
        self.interrupt(plan, tmp_path / "run", 2)
        with (tmp_path / "run" / "log.jsonl").open("a") as file:
            file.write('{"half a li')
        assert run(plan, tmp_path / "run")["digest"] == whole["digest"]
        assert (tmp_path / "run" / "log.jsonl").read_text() == (tmp_path / "whole" / "log.jsonl").read_text()

    def test_without_a_checkpoint_it_starts_anew(self, plan_of, tmp_path):
        plan = plan_of(SPEC, {"levels": LEVELS, "checkpoints": False})
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "log.jsonl").write_text("of another time")
        (tmp_path / "run" / "test-7.png").write_text("of another time")
        (tmp_path / "run" / "notes.txt").write_text("of the user")
        row = run(plan, tmp_path / "run")
        assert row["cost"]["resumed"] == 0 and not (tmp_path / "run" / "test-7.png").exists()
        assert "of another time" not in (tmp_path / "run" / "log.jsonl").read_text()
        assert (tmp_path / "run" / "notes.txt").exists()

    def test_an_agent_that_does_not_go_on_to_the_bit_is_marked(self, plan_of, tmp_path):
        plan = plan_of(f"{__name__}:Inexact", {"levels": LEVELS})
        self.interrupt(plan, tmp_path / "run", 2)
        assert run(plan, tmp_path / "run")["resumed_inexactly"] is True


class TestOurAgentsAndData:
    @pytest.mark.parametrize(
        ("spec", "options"),
        [
            ("random", {"scenes_per_candidate": 2}),
            ("posisp", {"width": 8, "batch_size": 4}),
            ("stepwise-ppo", {"num_envs": 4, "n_steps": 8, "batch_size": 16, "n_epochs": 1}),
        ],
    )
    def test_every_seed_of_64_bits(self, run_of, spec, options):
        """`stepwise-ppo` once crashed at seeds from 4295 on, when its run started."""
        row = run_of(spec, options, 2**64 - 1, image_size=36)
        assert row["seed"] == 2**64 - 1 and row["task_evaluations"] > 0
        assert row["train_scenes_read"] and all(scene.startswith("train/") for scene in row["train_scenes_read"])

    def test_an_objective_is_what_training_is_paid_for(self, run_of, photos):
        """`objective` was once no config key."""
        keys = {"data": f"folder:{photos(train=3)}", "budget": 64}
        dark = run_of("random", {"scenes_per_candidate": 2}, objective={"entropy": -1.0}, **keys)
        plain = run_of("random", {"scenes_per_candidate": 2}, **keys)
        assert dark["task_evaluations"] == plain["task_evaluations"] == 64
        assert dark["scenes"][0]["params"] != plain["scenes"][0]["params"]
        assert dark["metrics"].keys() - {"objective"} == plain["metrics"].keys()


class Untargeted(DataSource):
    """Pictures without a target, as RAW files are."""

    name, licence, reference, description = "untargeted", "", "", ""

    def version(self):
        return "1"

    def check(self, argument):
        pass

    def fingerprint(self, argument):
        return ""

    def load(self, argument, split, count, image_size, seed, on_error="raise"):
        ids = [f"{split}/{i}" for i in range(count)]
        images = torch.rand(count, 3, image_size, image_size, generator=torch.Generator().manual_seed(len(split)))
        return SceneSet(MemoryStore(images), ids, ids, split, "untargeted")


def test_data_without_targets_can_be_compared_by_an_objective(run_of):
    data, options = f"{__name__}:Untargeted", {"scenes_per_candidate": 2}
    row = run_of("random", options, data=data, objective={"entropy": 1.0})
    assert row["task_evaluations"] == 16 and row["metrics"] and "psnr" not in row["metrics"]
    with pytest.raises(UserError, match="target"):
        run_of("random", options, data=data)


class Fails(Bright):
    def train(self, training):
        raise UserError("out of luck")


def test_nothing_is_left_metered_or_sealed_by_a_run_that_fails(plan_of, tmp_path):
    with pytest.raises(UserError, match="out of luck"):
        run(plan_of(f"{__name__}:Fails", {"levels": []}, budget=1), tmp_path / "run")
    setting = EnvConfig(split="test", num_scenes=2, image_size=16)
    scenes = setting.load_scenes().batch([0, 1])
    assert len(setting.make_task().loss(scenes.images, scenes)) == 2
