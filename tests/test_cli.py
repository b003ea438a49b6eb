import json
import sys
from shutil import rmtree

import numpy as np
import pytest
from PIL import Image

from isp_gym.cli import main

CONFIG = """
image_size: 16
scenes: {train: 4, validation: 2, test: 2}
budget: 16
seeds: [0]
agents: {input: {}, random: {scenes_per_candidate: 4}}
"""


@pytest.fixture
def cli(tmp_path, monkeypatch, capfd):
    """Runs ``isp-gym ARGS`` in an empty folder; returns exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(CONFIG)

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["isp-gym", *args])
        with pytest.raises(SystemExit) as end:
            main()
        captured = capfd.readouterr()
        return int(end.value.code or 0), captured.out, captured.err

    return run


def test_compare_prints_the_table_and_where_the_report_is(cli, tmp_path):
    code, out, _ = cli("compare", "--config", "c.yaml", "--out", "runs/x", "budget=8")
    assert code == 0
    assert "PSNR" in out and "random" in out and "runs/x/report.html" in out
    results = json.loads((tmp_path / "runs/x/results.json").read_text())
    assert [row["task_evaluations"] for row in results["rows"]] == [0, 8]


def test_compare_json_is_the_last_line(cli):
    code, out, _ = cli("compare", "--config", "c.yaml", "--out", "x", "--seeds", "2", "--json")
    assert code == 0
    assert len(json.loads(out.splitlines()[-1])["rows"]) == 4


@pytest.mark.parametrize("command", ["envs", "modules", "rewards", "agents", "data"])
def test_tables(cli, command):
    code, out, _ = cli(command)
    assert code == 0 and len(out.splitlines()) > 4
    code, out, _ = cli(command, "--json")
    assert code == 0 and json.loads(out)["rows"]


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["data=folder:/no/such/photos"], "/no/such/photos"),
        (["data=folder:photos"], "broken.png"),
        (["agents.posips={}"], "posips"),
        (["modules=[gama]"], "gama"),
        (["task=tracking"], "tracking"),
        (["buget=3"], "buget"),
        (["bank=fast"], "fast"),
        (["agents.posisp.momentum=1"], "momentum"),
        (["agents.x.agent=nowhere:Agent"], "nowhere"),
        (["--config", "none.yaml"], "none.yaml"),
    ],
)
def test_bad_input_is_one_line_with_code_2_and_nothing_written(cli, tmp_path, args, named):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "b.png", "broken.png", "d.png"):
        (photos / name).write_text(f"this is no image {name}")
    code, out, err = cli("compare", "--config", "c.yaml", "--out", "new", *args)
    assert code == 2
    if named == "broken.png":  # which of the four is read first is a matter of their digests
        named = ".png"
    assert len(err.splitlines()) == 1 and named in err and "Traceback" not in out + err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml", "photos"]


def test_unknown_option_is_code_2(cli):
    code, _, err = cli("compare", "--config", "c.yaml", "--colour", "red")
    assert code == 2 and "--colour" in err


def test_evaluate_prints_the_pipeline_in_physical_units(cli):
    code, out, err = cli("evaluate", "--policy", "random", "--config", "c.yaml", "--budget", "32", "--json")
    assert code == 0 and "PSNR" in err
    (row,) = json.loads(out.splitlines()[-1])["rows"]
    assert row["task_evaluations"] == 32 and row["split"] == "test"
    description = row["scenes"][0]["description"]
    assert description and description[0] in err


def test_evaluate_says_on_standard_error_what_it_is_doing(cli):
    code, out, err = cli("evaluate", "--policy", "random", "--config", "c.yaml", "--budget", "32")
    assert code == 0 and "PSNR" in out and "training" not in out
    assert err.splitlines() == [
        "loading 2 test scenes of photos",
        "training random with budget 32",
        "scoring 2 test scenes",
    ]


def test_evaluate_names_a_policy_that_is_not_there(cli):
    code, _, err = cli("evaluate", "--policy", "posisp:none.pth")
    assert code == 2 and "none.pth" in err
    code, _, err = cli("evaluate", "--policy", "randon", "--config", "c.yaml")
    assert code == 2 and "did you mean 'random'" in err and len(err.splitlines()) == 1


def test_oracle_then_regret_then_replay(cli):
    few = ["modules=[exposure,gamma]", "oracle.scenes=2", "oracle.steps=3", "oracle.leaders=1"]
    code, out, _ = cli("oracle", "--config", "c.yaml", "--out", "o", "--jobs", "1", "--json", *few)
    assert code == 0 and len(json.loads(out.splitlines()[-1])["rows"]) == 5
    code, out, _ = cli("compare", "--config", "c.yaml", "--out", "x", "oracle.file=o/oracle.json", *few[:1])
    assert code == 0 and "regret" in out
    code, out, _ = cli("replay", "o/oracle.json", "--json")
    assert code == 0 and json.loads(out)["rows"]


class TestReplay:
    @pytest.fixture
    def file(self, cli, tmp_path):
        cli("compare", "--config", "c.yaml", "--out", "x", "budget=32")
        return tmp_path / "x" / "results.json"

    def test_of_what_is_sound(self, cli, file):
        code, out, err = cli("replay", "x/results.json", "--json")
        assert (code, err) == (0, "")
        rows = json.loads(out)["rows"]
        assert [(row["row"], row["result"]) for row in rows] == [
            ("enhancement input seed 0", "same"),
            ("enhancement random seed 0", "same"),
        ]
        assert cli("replay", "x/results.json", "--sample", "1")[0] == 0

    def test_fails_when_a_score_differs(self, cli, file):
        results = json.loads(file.read_text())
        results["rows"][-1]["metrics"]["psnr"] += 0.5
        file.write_text(json.dumps(results))
        code, _, err = cli("replay", "x/results.json")
        assert code == 2 and "does not replay: 1 of 2 differ; enhancement random seed 0: " in err
        assert len(err.splitlines()) == 1

    def test_says_what_could_not_be_replayed(self, cli, file):
        rmtree(file.parent / "runs" / "input")
        code, _, err = cli("replay", "x/results.json")
        assert code == 0 and "1 of 2 rows were not replayed" in err
        rmtree(file.parent / "runs")
        results = json.loads(file.read_text())
        results["rows"] = results["rows"][:1]
        results["config"]["agents"] = {"input": {}}
        file.write_text(json.dumps(results))
        code, _, err = cli("replay", "x/results.json")
        assert code == 2 and "none of its 1 rows could be replayed" in err

    def test_refuses_files_of_earlier_versions(self, cli, file):
        results = json.loads(file.read_text())
        file.write_text(json.dumps({"rows": results["rows"]}))
        code, _, err = cli("replay", "x/results.json")
        assert code == 2 and "earlier version" in err and len(err.splitlines()) == 1


def photos(root, seed=0):
    for split in ("train", "validation", "test"):
        (root / split).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng([seed, len(split)]).integers(0, 256, (20, 20, 3), np.uint8)
        Image.fromarray(pixels).save(root / split / "a.png")


def test_what_was_read_is_recorded_and_replay_says_when_it_has_changed(cli, tmp_path):
    photos(tmp_path / "photos")
    assert cli("compare", "--config", "c.yaml", "--out", "x", "budget=8", "data=folder:photos")[0] == 0
    (card,) = json.loads((tmp_path / "x/results.json").read_text())["data"].values()
    assert card["spec"] == "folder:photos" and set(card["checksums"]) == {"train", "validation", "test"}
    assert card["licence"] and card["reference"] and card["version"]
    _, out, _ = cli("evaluate", "--policy", "input", "--config", "c.yaml", "--json", "data=folder:photos")
    (found,) = json.loads(out.splitlines()[-1])["data"].values()
    assert found == {**card, "checksums": {"test": card["checksums"]["test"]}}
    code, _, err = cli("replay", "x/results.json")
    assert code == 0 and not err
    photos(tmp_path / "photos", seed=1)
    code, _, err = cli("replay", "x/results.json")
    assert code == 2 and "does not replay" in err and len(err.splitlines()) == 1


HALF = """
class Half:
    def train(self, training): open("imported", "w").close()
    def enhance(self, images): return images / 2
    def save(self, folder): (folder / "half").write_text("")
    def load(self, folder): pass
"""


class TestCodeOfOthers:
    """A folder or file of somebody's names a class; importing it runs its code."""

    @pytest.fixture
    def run(self, cli, tmp_path, monkeypatch):
        (tmp_path / "half_for_test.py").write_text(HALF + "open('imported', 'w').close()\n")
        cli("compare", "--config", "c.yaml", "--out", "x", "agents={half: {agent: 'half_for_test:Half'}}")
        (tmp_path / "imported").unlink()
        monkeypatch.delitem(sys.modules, "half_for_test", raising=False)
        return "x/runs/half/seed-0"

    def test_is_imported_by_replay_on_request_only(self, cli, run, tmp_path):
        code, _, err = cli("replay", "x/results.json")
        assert code == 0 and not (tmp_path / "imported").exists()
        assert "rows were not replayed: the agent 'half_for_test:Half' is code" in err and "--allow-code" in err
        assert cli("replay", "x/results.json", "--allow-code")[0] == 0 and (tmp_path / "imported").exists()

    def test_is_imported_by_evaluate_on_request_only(self, cli, run, tmp_path):
        code, _, err = cli("evaluate", "--policy", run, "scenes={train: 4, validation: 2, test: 2}")
        assert code == 2 and "--allow-code" in err and not (tmp_path / "imported").exists()
        assert cli("evaluate", "--policy", run, "--allow-code")[0] == 0 and (tmp_path / "imported").exists()


class TestCompare:
    def test_interrupted_ones_go_on_and_complete_ones_are_kept(self, cli, tmp_path):
        for expected in (["x"], ["x", "x.1"]):
            assert cli("compare", "--config", "c.yaml", "--out", "x", "budget=8")[0] == 0
            assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == expected
        code, out, _ = cli("compare", "--config", "c.yaml", "--out", "x", "--resume", "budget=8")
        assert code == 0 and "2 of 2 runs are finished already" in out

    def test_the_true_number_of_scenes_is_shown(self, cli):
        _, out, _ = cli("compare", "--config", "c.yaml", "--out", "x", "budget=8")
        assert "4 train, 2 validation, 2 test scenes" in " ".join(out.split())

    def test_a_place_that_is_somebody_elses(self, cli, tmp_path):
        (tmp_path / "x.partial").mkdir()
        (tmp_path / "x.partial" / "thesis.txt").write_text("")
        code, _, err = cli("compare", "--config", "c.yaml", "--out", "x")
        assert code == 2 and "was not made by isp-gym" in err
        assert (tmp_path / "x.partial" / "thesis.txt").exists()

    def test_an_objective_is_a_key(self, cli, tmp_path):
        photos(tmp_path / "photos")
        args = ["data=folder:photos", "objective={entropy: 1.0}"]
        assert cli("compare", "--config", "c.yaml", "--out", "x", *args)[0] == 0
        results = json.loads((tmp_path / "x/results.json").read_text())
        assert results["config"]["objective"] == {"entropy": 1.0} and results["rows"][1]["task_evaluations"] == 16

    def test_one_problem_of_several_is_chosen_to_evaluate(self, cli):
        args = ["evaluate", "--policy", "input", "--config", "c.yaml", "problems={a: {}, b: {image_size: 24}}"]
        code, _, err = cli(*args)
        assert code == 2 and "choose one with --problem: a, b" in err
        code, out, _ = cli(*args, "--problem", "b", "--json")
        assert code == 0 and json.loads(out.splitlines()[-1])["rows"][0]["problem"] == "b"
