import json

import pytest

from isp_gym.benchmark.results import SCHEMA, finished_row, read_results, row_digest, schema, with_digest
from isp_gym.errors import UserError


def write(tmp_path, content):
    path = tmp_path / "results.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_schema_is_of_the_version_that_is_written():
    assert schema()["properties"]["schema"] == {"const": SCHEMA} == schema()["$defs"]["row"]["properties"]["schema"]


class TestReading:
    @pytest.mark.parametrize(
        ("schema", "message"),
        [
            ({}, "written by an earlier version, without a schema; this isp-gym reads schema 1"),
            ({"schema": 2}, "written by schema 2; this isp-gym reads schema 1: run the comparison again"),
            ({"schema": None}, "an earlier version"),
        ],
    )
    def test_other_versions_are_refused(self, results, tmp_path, schema, message):
        del results["schema"]
        with pytest.raises(UserError, match=message):
            read_results(write(tmp_path, {**results, **schema}))

    @pytest.mark.parametrize(
        ("path", "value", "message"),
        [
            (["rows", 0, "metrics", "psnr"], "high", "rows/0/metrics/psnr"),
            (["rows", 0, "metrics", "psnr"], None, "rows/0/metrics/psnr"),
            (["rows", 0, "metrics"], {}, "rows/0/metrics"),
            (["rows", 0, "seed"], -1, "rows/0/seed"),
            (["rows", 0, "seed"], 2**64, "rows/0/seed"),
            (["rows", 0, "task_evaluations"], -1, "rows/0/task_evaluations"),
            (["rows", 0, "ended"], "well", "rows/0/ended"),
            (["rows", 0, "observes"], "all", "rows/0/observes"),
            (["rows", 0, "surprise"], 1, "rows/0"),
            (["rows", 1, "scenes", 0, "params"], [[2.0]], "rows/1/scenes/0/params"),
            (["rows", 1, "scenes", 0, "sequence"], "gamma", "rows/1/scenes/0/sequence"),
            (["rows", 1, "scenes", 0, "psnr"], "high", "rows/1/scenes/0/psnr"),
            (["rows"], {}, "at rows"),
            (["surprise"], 1, "its top level"),
        ],
        ids=lambda value: "/".join(map(str, value)) if isinstance(value, list) else None,
    )
    def test_what_does_not_follow_the_schema_is_named(self, results, tmp_path, path, value, message):
        place = results
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        with pytest.raises(UserError, match=f"is no results.json: at {message}|at {message}") as error:
            read_results(write(tmp_path, results))
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize("key", ["policy", "scenes", "digest", "train_scenes_read", "made_with"])
    def test_a_row_without_a_key_is_none(self, results, tmp_path, key):
        del results["rows"][0][key]
        with pytest.raises(UserError, match=f"at rows/0, '{key}' is a required"):
            read_results(write(tmp_path, results))

    @pytest.mark.parametrize("content", ["", "{", "NaN", '{"schema": 1, "rows": NaN}', "\x00"])
    def test_what_is_no_json(self, tmp_path, content):
        with pytest.raises(UserError, match="is no JSON"):
            read_results(write(tmp_path, content))

    @pytest.mark.parametrize("content", ["[]", "{}", "3", '{"problem": {}}'])
    def test_something_else(self, tmp_path, content):
        with pytest.raises(UserError, match="is no results.json"):
            read_results(write(tmp_path, content))

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(UserError, match="cannot read .*No such file"):
            read_results(tmp_path / "none.json")


class TestDigests:
    def test_are_of_all_but_what_depends_on_the_moment(self, results):
        row = results["rows"][1]
        assert row_digest({**row, "cost": {}, "seconds": 99.0}) == row["digest"] == with_digest(row)["digest"]
        for key in row.keys() - {"cost", "seconds", "digest"}:
            assert row_digest({**row, key: "other"}) != row["digest"], key

    @pytest.mark.parametrize("fault", ["none", "other plan", "changed", "no card", "half a row"])
    def test_a_finished_row_is_the_one_asked_for_and_unchanged(self, results, tmp_path, fault):
        row = results["rows"][1]
        (tmp_path / "run.json").write_text('{"digest": "of the plan"}')
        (tmp_path / "row.json").write_text(json.dumps({**row, "seed": 7} if fault == "changed" else row))
        if fault == "no card":
            (tmp_path / "run.json").unlink()
        if fault == "half a row":
            (tmp_path / "row.json").write_text("{")
        found = finished_row("of another" if fault == "other plan" else "of the plan", tmp_path / "row.json")
        assert found == (row if fault == "none" else None)
