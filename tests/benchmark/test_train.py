"""A training of one agent: the policy that a comparison trains, without the test scenes."""

import json
from dataclasses import replace
from multiprocessing import forkserver

import jsonschema
import pytest

from isp_gym.benchmark import train as module
from isp_gym.benchmark.files import digest_of_folder
from isp_gym.benchmark.policy import evaluate_policy, problem_for
from isp_gym.benchmark.results import schema
from isp_gym.benchmark.train import only_run, train
from isp_gym.data import load_scenes
from isp_gym.data.access import lifted
from isp_gym.errors import UserError

AGENTS = ["camera", "random", "ppo", "posisp"]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny, agents):
    """Trainings with the config of ``finished``, by agent: what came of them and where."""
    made = {}

    def make(agent):
        if agent not in made:
            config = only_run(tiny(agents, image_size=36, budget=48, seeds=[0]), agent, seed=1)
            out = tmp_path_factory.mktemp("trained") / agent
            made[agent] = train(config, out), out
        return made[agent]

    return make


@pytest.mark.parametrize("agent", AGENTS)
class TestAgainstAComparison:
    def test_it_learns_the_same(self, trained, finished, agent):
        row, compared = trained(agent)[0].row, next(r for r in finished[0]["rows"] if r["agent"] == agent)
        for key in ("policy", "chosen_at", "ended", "task_evaluations", "env_steps", "train_scenes_read", "seed"):
            assert row[key] == compared[key], key
        tested = [{k: v for k, v in point.items() if not k.startswith("test_")} for point in compared["curve"]]
        assert row["curve"] == tested and row["policy"] == digest_of_folder(trained(agent)[1] / "policy")

    def test_its_folder_evaluates_to_the_scores_of_both(self, trained, finished, agent):
        row, compared = trained(agent)[0].row, next(r for r in finished[0]["rows"] if r["agent"] == agent)
        out = str(trained(agent)[1])
        for split, expected in (("validation", row), ("test", compared)):
            found = evaluate_policy(out, problem_for(out, None, ["scenes.test=3"], None, None), split)
            assert (found["metrics"], found["scenes"]) == (expected["metrics"], expected["scenes"])

    def test_its_row_follows_the_schema(self, trained, agent):
        row, out = trained(agent)[0].row, trained(agent)[1]
        jsonschema.validate(row, {**schema(), **schema()["$defs"]["row"]})
        assert row["split"] == "validation" and row["scenes_read"]["test"] == 0
        assert json.loads((out / "row.json").read_text()) == row
        assert trained(agent)[0].data["enhancement"]["checksums"] == row["made_with"]["data"]
        assert not (out / "checkpoints").exists()


class Peeks:
    """Looks for the test scenes as the benchmark itself does, and hides what it is told."""

    def train(self, training):
        try:
            with lifted():
                load_scenes("photos", "test", 2, 16)
            self.found = True
        except UserError:
            self.found = False

    def enhance(self, images):
        return images * (0 if self.found else 1)

    def save(self, folder):
        (folder / "found").write_text(str(self.found))

    def load(self, folder):
        self.found = (folder / "found").read_text() == "True"


class CannotBeSaved:
    def train(self, training):
        training.make_vec("ISP/Sequence-v0", 2)

    def enhance(self, images):
        return images


class Fails:
    def train(self, training):
        raise RuntimeError("out of luck")

    def enhance(self, images):
        return images


class TestTestScenes:
    def test_are_sealed_for_the_training_and_for_nothing_that_follows(self, tiny, quietly, tmp_path):
        """A fork server that was started inside the seal once handed it to every comparison of the process."""
        forkserver._forkserver._stop()
        train(only_run(tiny()), tmp_path / "x")
        assert quietly(tiny(), tmp_path / "y")["rows"][0]["split"] == "test"

    def test_cannot_be_opened_even_by_the_means_of_the_benchmark(self, tiny, tmp_path):
        trained = train(only_run(tiny({"x": {"agent": f"{__name__}:Peeks"}})), tmp_path / "x")
        assert (tmp_path / "x" / "policy" / "found").read_text() == "False"
        assert trained.row["reads_refused"]["test"] == 1

    def test_need_not_be_readable(self, tiny, tmp_path, photos):
        data = f"folder:{photos(train=2)}"
        (tmp_path / "photos" / "test" / "0.png").write_text("no image")
        config = only_run(tiny(data=data))
        assert train(config, tmp_path / "x").row["split"] == "validation"
        with pytest.raises(UserError, match=r"0\.png"):
            evaluate_policy(str(tmp_path / "x"), problem_for(str(tmp_path / "x"), None, [], None, None), "test")


class TestWhatIsTrained:
    def test_the_only_agent_and_problem_and_the_first_seed(self, tiny):
        config = only_run(tiny(seeds=[7, 8]))
        assert (list(config.agents), config.seeds, list(config.problems)) == (["input"], [7], ["enhancement"])

    def test_is_chosen_from_several(self, tiny):
        config = tiny({"input": {}, "camera": {}}, problems={"a": {}, "b": {"image_size": 24}})
        chosen = only_run(config, "camera", 2**64 - 1, "b")
        assert (list(chosen.agents), chosen.seeds, list(chosen.problems)) == (["camera"], [2**64 - 1], ["b"])
        with pytest.raises(UserError, match="choose one with --problem: a, b"):
            only_run(config, "camera")
        with pytest.raises(UserError, match="choose one with --agent: input, camera"):
            only_run(config, problem="a")

    @pytest.mark.parametrize(
        ("choice", "message"),
        [
            ({"agent": "inptu"}, "unknown agent of the config 'inptu'; did you mean 'input'"),
            ({"seed": 2**64}, r"must lie in \[0, 2\*\*64\)"),
            ({"problem": "b"}, "the config has no problem 'b'"),
        ],
    )
    def test_faults_are_named(self, tiny, choice, message):
        with pytest.raises(UserError, match=message):
            only_run(tiny(), **choice)

    def test_agents_that_are_not_chosen_are_not_checked(self, tiny):
        assert only_run(tiny({"input": {}, "x": {"agent": "nowhere:Agent"}}), "input").agents == {"input": {}}

    def test_a_config_without_agents(self, tiny):
        config = tiny()
        config.agents = {}
        with pytest.raises(UserError, match="the config names no agents"):
            only_run(config)


class TestTheFolder:
    def test_an_earlier_one_is_kept(self, tiny, tmp_path):
        assert train(only_run(tiny()), tmp_path / "x").earlier is None
        again = train(only_run(tiny(), seed=3), tmp_path / "x")
        assert again.earlier == tmp_path / "x.1" and names(tmp_path) == ["x", "x.1"]
        assert [json.loads((tmp_path / n / "run.json").read_text())["seed"] for n in ("x", "x.1")] == [3, 0]

    def test_a_finished_one_is_not_trained_again_on_resume(self, tiny, tmp_path, monkeypatch):
        first = train(only_run(tiny()), tmp_path / "x")
        monkeypatch.setattr(module, "run_all", None)
        again = train(only_run(tiny()), tmp_path / "x", resume=True)
        assert again.was_finished and not first.was_finished and again.row == first.row and names(tmp_path) == ["x"]

    @pytest.mark.parametrize(
        ("keys", "message"),
        [
            ({"budget": 17}, "with budget=16, not 17"),
            ({"scenes": {"train": 3, "validation": 2, "test": 3}}, r"with scenes\.train=4, not 3"),
            ({"agents": {"input": {"agent": "camera"}}}, "with agent=input, not camera"),
        ],
    )
    def test_a_finished_one_of_other_settings_is_refused_on_resume(self, tiny, tmp_path, keys, message):
        train(only_run(tiny()), tmp_path / "x")
        with pytest.raises(UserError, match=message):
            train(only_run(tiny(**keys)), tmp_path / "x", resume=True)
        assert names(tmp_path) == ["x"]

    def test_other_data_is_refused_on_resume(self, tiny, tmp_path, photos):
        keys = {"data": f"folder:{photos(train=2)}"}
        train(only_run(tiny(**keys)), tmp_path / "x")
        photos(seed=1, train=2)
        with pytest.raises(UserError, match="a training on other data"):
            train(only_run(tiny(**keys)), tmp_path / "x", resume=True)

    def test_a_comparison_is_no_training(self, tiny, quietly, tmp_path):
        quietly(tiny(), tmp_path / "x")
        with pytest.raises(UserError, match="holds no training"):
            train(only_run(tiny()), tmp_path / "x", resume=True)
        (tmp_path / "x").rename(tmp_path / "y.partial")
        for resume in (False, True):
            with pytest.raises(UserError, match="holds an interrupted comparison"):
                train(only_run(tiny()), tmp_path / "y", resume=resume)

    def test_a_training_is_no_comparison(self, tiny, quietly, tmp_path):
        train(only_run(tiny()), tmp_path / "x")
        quietly(tiny(), tmp_path / "x", resume=True)
        assert (tmp_path / "x" / "results.json").exists() and (tmp_path / "x.1" / "row.json").exists()
        (tmp_path / "x.1").rename(tmp_path / "y.partial")
        with pytest.raises(UserError, match="holds an interrupted training"):
            quietly(tiny(), tmp_path / "y")

    def test_a_row_of_validation_scores_is_not_taken_for_one_of_a_comparison(self, plan_of):
        plan = plan_of("input")
        assert replace(plan, split="validation").digest != plan.digest

    def test_resume_begins_where_there_is_nothing(self, tiny, tmp_path):
        assert not train(only_run(tiny()), tmp_path / "x", resume=True).was_finished

    def test_one_that_failed_is_tried_again_and_what_is_not_ours_stays(self, tiny, tmp_path):
        fails = {"input": {"agent": f"{__name__}:Fails"}}
        with pytest.raises(
            UserError, match=r"'input', seed 0 failed: RuntimeError: out of luck \(traceback in .*error"
        ):
            train(only_run(tiny(fails)), tmp_path / "x")
        (tmp_path / "x.partial" / "thesis.txt").write_text("three years of work")
        train(only_run(tiny()), tmp_path / "x")
        assert (tmp_path / "x" / "thesis.txt").exists() and not (tmp_path / "x" / "error.txt").exists()


def test_an_agent_that_cannot_be_saved_leaves_its_scores(tiny, tmp_path):
    row = train(only_run(tiny({"x": {"agent": f"{__name__}:CannotBeSaved"}})), tmp_path / "x").row
    assert row["policy"] is None and row["metrics"]["psnr"] > 0 and not (tmp_path / "x" / "policy").exists()
