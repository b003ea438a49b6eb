import math
import os

import pytest

from isp_gym.benchmark.files import (
    default_jobs,
    digest_of,
    digest_of_folder,
    read_json,
    write_folder,
    write_json,
    write_text,
)


def fill(**files):
    return lambda folder: [(folder / name).write_text(text) for name, text in files.items()]


def interrupted(folder):
    (folder / "half").write_text("")
    raise KeyboardInterrupt


class TestFilesAreThereInFullOrNotAtAll:
    def test_numbers_that_json_has_not_become_null(self, tmp_path):
        write_json(tmp_path / "x", {"a": math.nan, "b": [1.5, (math.inf,)], 3: None})
        assert read_json(tmp_path / "x") == {"a": None, "b": [1.5, [None]], "3": None}
        assert [path.name for path in tmp_path.iterdir()] == ["x"]

    def test_a_value_that_cannot_be_written_leaves_the_file_as_it_was(self, tmp_path):
        write_json(tmp_path / "x", 1)
        with pytest.raises(TypeError):
            write_json(tmp_path / "x", object())
        with pytest.raises(UnicodeEncodeError):
            write_text(tmp_path / "x", "\ud800")
        assert read_json(tmp_path / "x") == 1

    def test_an_interrupted_folder_leaves_the_one_before(self, tmp_path):
        write_folder(tmp_path / "x", fill(a="1"))
        with pytest.raises(KeyboardInterrupt):
            write_folder(tmp_path / "x", interrupted)
        assert [path.name for path in (tmp_path / "x").iterdir()] == ["a"]
        write_folder(tmp_path / "x", fill(b="2"))
        assert [path.name for path in (tmp_path / "x").iterdir()] == ["b"]
        assert [path.name for path in tmp_path.iterdir()] == ["x"]

    @pytest.mark.parametrize("text", ["NaN", '{"a": Infinity}', "{", "\xff"])
    def test_what_is_no_json_is_refused(self, tmp_path, text):
        (tmp_path / "x").write_bytes(text.encode("latin-1"))
        with pytest.raises(ValueError):
            read_json(tmp_path / "x")


class TestDigests:
    def test_of_a_value_does_not_depend_on_the_order_of_keys(self):
        assert digest_of({"a": 1, "b": [1, 2]}) == digest_of({"b": [1, 2], "a": 1}) != digest_of({"a": 1, "b": [2, 1]})

    @pytest.mark.parametrize("other", [{"a": "2"}, {"b": "1"}, {"a": "1", "b": ""}, {}])
    def test_of_a_folder_is_of_names_and_contents(self, tmp_path, other):
        for name, files in (("x", {"a": "1"}), ("same", {"a": "1"}), ("other", other)):
            write_folder(tmp_path / name, fill(**files))
        x, same, other = (digest_of_folder(tmp_path / name) for name in ("x", "same", "other"))
        assert x == same != other


def test_cores_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    assert default_jobs() == 5
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_jobs() == 1
