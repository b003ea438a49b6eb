"""Which scenes a policy is evaluated on."""

import pytest

from isp_gym.benchmark.evaluate_policy import problem_for


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
