"""A small comparison before the embedded segmenter: metrics, pictures, report and replay."""

import json

import cv2
import numpy as np
import pytest

from isp_gym.benchmark.replay import replay_results
from isp_gym.errors import UserError

KEYS = {"task": "segmentation", "modules": None, "image_size": 64, "budget": 8, "curve_points": 1, "pictures": 2}


METRICS = [f"{kind}_{name}" for kind in ("box", "mask") for name in ("map", "map50", "map75")]


@pytest.fixture(scope="module")
def config(tiny):
    return tiny({"camera": {}, "random": {"scenes_per_candidate": 4}}, **KEYS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, config, quietly):
    """A comparison by another task, in place of the one that the other files look at."""
    out = tmp_path_factory.mktemp("segmentation") / "run"
    return quietly(config, out), out


def no_nan(constant):
    raise AssertionError(f"{constant} is no JSON")


class TestResults:
    def test_are_json_with_the_data_by_name(self, finished):
        results, out = finished
        read = json.loads((out / "results.json").read_text(), parse_constant=no_nan)
        assert read["config"]["data"] == "synthetic"
        card = json.loads((out / "runs/camera/seed-0/run.json").read_text())
        assert card["config"]["data"] == "synthetic"
        for row in results["rows"]:
            assert (row["task"], row["data"]) == ("segmentation", "synthetic")
            assert list(row["metrics"]) == METRICS and row["metrics"]["box_map50"] > 0
            assert list(row["scenes"][0])[2:8] == METRICS

    def test_replay(self, finished):
        replayed = replay_results(finished[1] / "results.json")
        assert [one.checked for one in replayed] == [["policy", "log"], ["pipelines", "policy", "log"]]
        assert not any(one.faults for one in replayed)


class TestReport:
    def test_ranks_by_the_tasks_score(self, finished):
        results, out = finished
        page = (out / "report.html").read_text()
        best = max(results["rows"], key=lambda row: row["metrics"]["mask_map"])["agent"]
        assert f'<tr class="best"><td>{best}</td>' in page
        assert "<th>Mask mAP.75</th>" in page and "validation mask mAP" in page
        score = results["rows"][0]["scenes"][0]["mask_map"]
        assert f"camera: {score:.3f}</figcaption>" in page

    def test_pictures_are_large_enough_to_read_in(self, finished):
        page = (finished[1] / "report.html").read_text()
        assert page.count('<figure class="large">') == 2 * 4  # input, two agents and target of two scenes
        assert "the predictions of the task's frozen network" in page

    def test_the_input_says_what_is_to_be_found(self, finished, config):
        out, scenes = finished[1], config.problems["segmentation"].setting("test").load_scenes()
        picture = cv2.imread(str(out / "scenes/segmentation-test-0-input.png"))[:, :, ::-1]
        plain = (scenes[0].image * 8).clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
        drawn = (picture[::4, ::4] != plain).any(2)
        masks = scenes[0].objects.masks.any(0).numpy()
        assert picture.shape == (256, 256, 3)
        assert drawn[masks].mean() > 0.99 and drawn.mean() < 0.9
        assert np.array_equal(picture[0, -1], plain[0, -1])


def test_without_pictures(run_of, tmp_path):
    assert list(run_of("input", **{**KEYS, "pictures": 0})["metrics"]) == METRICS
    assert not list(tmp_path.glob("run/*.png"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "skimage"}, "use data with objects"),
        ({"task_options": {"losses": ["outline"]}}, "unknown loss of the network 'outline'"),
        ({"task_options": {"classes": {"ball": None, "bxo": None}}}, "unknown class of the data 'bxo'"),
        ({"task": "segmentation:none.safetensors"}, r"none\.safetensors"),
    ],
)
def test_what_does_not_suit_is_found_before_the_work(changes, message, tiny, quietly, tmp_path):
    with pytest.raises(UserError, match=message) as error:
        quietly(tiny(**{**KEYS, "image_size": 32, **changes}), tmp_path / "run")
    assert "\n" not in str(error.value) and not list(tmp_path.iterdir())
