import json
import os
from pathlib import Path

import pytest

from isp_gym.benchmark.out_folder import OutFolder
from isp_gym.errors import UserError


def write(out, text="results", resume=False):
    folder = OutFolder(out)
    with folder.held(resume) as partial:
        (partial / "results.json").write_text(text)
        return folder.publish()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class TestPlaces:
    def test_written_beside_its_place_and_moved_there(self, tmp_path):
        folder = OutFolder(tmp_path / "a" / "x")
        with folder.held(resume=False) as partial:
            assert partial == folder.partial == tmp_path / "a" / "x.partial" and not folder.out.exists()
            assert folder.publish() is None
        assert names(tmp_path / "a") == ["x"] and names(tmp_path / "a" / "x") == [".isp-gym"]

    def test_earlier_ones_are_kept(self, tmp_path):
        moved = [write(tmp_path / "x", text) for text in "abc"]
        assert moved == [None, tmp_path / "x.1", tmp_path / "x.2"]
        assert [(tmp_path / name / "results.json").read_text() for name in ("x.1", "x.2", "x")] == ["a", "b", "c"]

    def test_what_is_interrupted_is_found_again(self, tmp_path):
        with pytest.raises(KeyboardInterrupt), OutFolder(tmp_path / "x").held(resume=False) as partial:
            (partial / "run").write_text("half")
            raise KeyboardInterrupt
        with OutFolder(tmp_path / "x").held(resume=False) as partial:
            assert (partial / "run").read_text() == "half"

    @pytest.mark.parametrize("resume", [False, True])
    def test_complete_results_are_taken_up_on_request(self, tmp_path, resume):
        write(tmp_path / "x")
        with OutFolder(tmp_path / "x").held(resume) as partial:
            assert (partial / "results.json").exists() == resume == (not (tmp_path / "x").exists())

    def test_an_empty_folder_may_be_the_place(self, tmp_path):
        (tmp_path / "x").mkdir()
        assert write(tmp_path / "x") is None and names(tmp_path) == ["x"]

    def test_links_are_followed_and_the_working_directory_may_change(self, tmp_path, monkeypatch):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        monkeypatch.chdir(tmp_path)
        folder = OutFolder(Path("link/x"))
        monkeypatch.chdir(tmp_path / "real")
        with folder.held(resume=False):
            folder.publish()
        assert names(tmp_path / "real") == ["x"] and names(tmp_path) == ["link", "real"]

    def test_a_run_is_set_aside_under_a_number(self, tmp_path):
        folder = OutFolder(tmp_path / "x")
        with folder.held(resume=False) as partial:
            for i in (1, 2):
                (partial / "run").mkdir()
                (partial / "run" / "row.json").write_text(str(i))
                folder.set_aside(partial / "run")
            assert [(partial / "set-aside" / n / "row.json").read_text() for n in "12"] == ["1", "2"]
            assert not (partial / "run").exists()


class TestNotOurs:
    @pytest.mark.parametrize("name", ["x", "x.partial"])
    @pytest.mark.parametrize("file", [False, True])
    def test_is_neither_written_to_nor_removed(self, tmp_path, name, file):
        """Somebody's ``x.partial/thesis.txt`` was once deleted."""
        if file:
            (tmp_path / name).write_text("three years of work")
        else:
            (tmp_path / name).mkdir()
            (tmp_path / name / "thesis.txt").write_text("three years of work")
        with pytest.raises(UserError, match=f"{name}' exists and was not made by isp-gym"):
            OutFolder(tmp_path / "x")
        path = tmp_path / name if file else tmp_path / name / "thesis.txt"
        assert path.read_text() == "three years of work" and names(tmp_path) == [name]

    @pytest.mark.parametrize("out", [".", "..", "/"])
    def test_the_folder_that_the_user_is_in(self, tmp_path, monkeypatch, out):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(UserError, match="is the folder that you are in"):
            OutFolder(Path(out))

    def test_a_mount_point(self, tmp_path, monkeypatch):
        monkeypatch.setattr(os.path, "ismount", lambda path: str(path).endswith("x"))
        with pytest.raises(UserError, match="is a mount point"):
            OutFolder(tmp_path / "x")

    def test_a_place_that_cannot_be_written_to(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(UserError, match=r"cannot write to .*file"), OutFolder(tmp_path / "file" / "x").held(False):
            pass


class TestLock:
    def test_a_second_one_is_told_who_writes(self, tmp_path):
        with OutFolder(tmp_path / "x").held(resume=False) as partial:
            with pytest.raises(UserError, match=f"is being written by process {os.getpid()} on .* since 20"):  # noqa: SIM117
                with OutFolder(tmp_path / "x").held(resume=False):
                    pass
            assert names(partial) == [".holder", ".isp-gym", ".lock"]
        with OutFolder(tmp_path / "x").held(resume=False):
            pass

    def test_a_damaged_holder_is_another_process(self, tmp_path):
        with OutFolder(tmp_path / "x").held(resume=False) as partial:
            (partial / ".holder").write_text("{")
            with pytest.raises(UserError, match="by another process; wait"), OutFolder(tmp_path / "x").held(False):
                pass

    def test_what_a_killed_one_has_left_locks_nobody_out(self, tmp_path):
        with OutFolder(tmp_path / "x").held(resume=False) as partial:
            pass
        (partial / ".lock").touch()
        (partial / ".holder").write_text(json.dumps({"process": 1, "host": "x", "since": "y"}))
        assert write(tmp_path / "x") is None and names(tmp_path / "x") == [".isp-gym", "results.json"]
