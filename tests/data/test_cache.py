import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from isp_gym.data import Scene, cache
from isp_gym.data.cache import cache_folder, cached
from isp_gym.errors import UserError


def scene(k):
    generator = torch.Generator().manual_seed(k)
    return Scene(torch.rand(3, 8, 8, generator=generator), torch.rand(3, 8, 8, generator=generator), f"train/{k}")


def no_scene():
    raise AssertionError("made again")


def same(a, b):
    return a.id == b.id and torch.equal(a.image, b.image) and torch.equal(a.target, b.target)


SHARING = """
import sys, time
from pathlib import Path
import torch
from isp_gym.data import Scene
from isp_gym.data.cache import cache_folder, cached

def scene(k):
    return Scene(torch.full((3, 64, 64), float(k)), torch.full((3, 64, 64), -float(k)), f"train/{k}")

Path(sys.argv[1], sys.argv[2]).touch()
while not all(Path(sys.argv[1], name).exists() for name in "ab"):
    time.sleep(0.001)
for turn in range(6):
    for k in range(40):
        found = cached(("key", k), f"train/{k}", lambda: scene(k))
        assert (found.image == k).all() and (found.target == -k).all() and found.id == f"train/{k}"
    for path in list(cache_folder().rglob("*.safetensors"))[turn::4]:
        path.unlink(missing_ok=True)
"""


@pytest.fixture(autouse=True)
def _empty(tmp_path, monkeypatch):
    monkeypatch.setenv("ISP_GYM_CACHE", str(tmp_path / "cache"))


def entries():
    return [path for path in cache_folder().rglob("*") if path.is_file()]


class TestCache:
    def test_what_was_made_is_read(self):
        first = cached("key", "train/0", lambda: scene(0))
        assert same(first, scene(0)) and len(entries()) == 1
        again = cached("key", "test/1", no_scene)
        assert again.id == "test/1" and torch.equal(again.image, first.image) and again.camera is None

    def test_another_key_is_another_scene(self):
        cached(("a", 1), "x", lambda: scene(0))
        assert same(cached(("a", 2), "train/1", lambda: scene(1)), scene(1))

    @pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
    def test_half_an_entry_is_made_again(self, part):
        cached("key", "train/0", lambda: scene(0))
        (path,) = entries()
        path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
        assert same(cached("key", "train/0", lambda: scene(0)), scene(0))
        assert same(cached("key", "train/0", no_scene), scene(0))

    def test_an_entry_with_a_wrong_bit_is_made_again(self):
        cached("key", "train/0", lambda: scene(0))
        (path,) = entries()
        data = bytearray(path.read_bytes())
        data[-5] ^= 1
        path.write_bytes(data)
        assert same(cached("key", "train/0", lambda: scene(0)), scene(0))

    def test_what_it_hands_out_does_not_hang_on_the_file(self):
        cached("key", "train/0", lambda: scene(0))
        read = cached("key", "train/0", no_scene)
        (path,) = entries()
        path.write_bytes(b"\xff" * path.stat().st_size)
        assert same(read, scene(0))

    def test_where_a_file_is_in_the_way_scenes_are_made(self, tmp_path):
        (tmp_path / "cache").write_text("no folder")
        assert same(cached("key", "train/0", lambda: scene(0)), scene(0))

    def test_two_processes_that_write_and_delete_the_same_entries(self, tmp_path, monkeypatch):
        monkeypatch.setenv("ISP_GYM_CACHE_SIZE", "2000000")  # half of what they write
        command = [sys.executable, "-c", SHARING, str(tmp_path)]
        both = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in "ab"]
        assert [process.communicate()[1] for process in both] == ["", ""]
        assert [process.returncode for process in both] == [0, 0]
        assert entries() and all(path.suffix == ".safetensors" for path in entries())


class TestFolder:
    @pytest.fixture
    def homeless(self, tmp_path, monkeypatch):
        """A user that the system does not know: docker run --user 12345."""

        def unknown(uid):
            raise KeyError(f"getpwuid(): uid not found: {uid}")

        for name in ("ISP_GYM_CACHE", "XDG_CACHE_HOME", "HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(pwd, "getpwuid", unknown)
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        return tmp_path / f"isp-gym-{os.getuid()}"

    def test_without_a_home_it_is_private_and_temporary(self, homeless):
        assert cache_folder() == homeless == cache_folder()
        assert homeless.stat().st_mode & 0o777 == 0o700
        assert same(cached("key", "train/0", lambda: scene(0)), scene(0)) and len(entries()) == 1

    @pytest.mark.parametrize("prepare", [lambda p: p.mkdir(mode=0o755), lambda p: p.symlink_to("/"), Path.touch])
    def test_what_others_may_have_put_there_is_not_believed(self, homeless, prepare):
        prepare(homeless)
        with pytest.raises(UserError, match=r"isp-gym-\d+ cannot be this user's cache.*set ISP_GYM_CACHE"):
            cache_folder()

    def test_what_the_variables_say_comes_first(self, homeless, monkeypatch):
        monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
        assert cache_folder() == Path("/somewhere/isp-gym")
        monkeypatch.setenv("ISP_GYM_CACHE", "/mine")
        assert cache_folder() == Path("/mine")


class TestSize:
    @staticmethod
    def age(path, seconds):
        status = path.stat()
        os.utime(path, (status.st_mtime - seconds,) * 2)

    def test_what_was_not_used_for_longest_goes_first(self, monkeypatch):
        for k in range(4):
            cached(k, f"train/{k}", lambda k=k: scene(k))
        size = entries()[0].stat().st_size
        for path in entries():
            self.age(path, 1000)
        cached(1, "train/1", no_scene)
        monkeypatch.setenv("ISP_GYM_CACHE_SIZE", str(int(2.5 * size)))
        cached(4, "train/4", lambda: scene(4))
        assert len(entries()) == 2
        for k in (1, 4):
            assert same(cached(k, f"train/{k}", no_scene), scene(k))

    def test_a_cache_that_fits_is_left_alone(self, monkeypatch):
        cached(0, "train/0", lambda: scene(0))
        monkeypatch.setenv("ISP_GYM_CACHE_SIZE", str(2 * entries()[0].stat().st_size))
        cached(1, "train/1", lambda: scene(1))
        assert len(entries()) == 2

    def test_no_room_at_all(self, monkeypatch):
        monkeypatch.setenv("ISP_GYM_CACHE_SIZE", "0")
        assert same(cached(0, "train/0", lambda: scene(0)), scene(0)) and not entries()

    def test_it_is_not_looked_through_at_every_write(self, monkeypatch):
        looked = []
        monkeypatch.setattr(cache, "_shrink", lambda *arguments: looked.append(arguments))
        monkeypatch.setenv("ISP_GYM_CACHE_SIZE", str(scene(0).image.nbytes * 2 * 20 * 3))
        for k in range(7):
            cached(k, f"train/{k}", lambda k=k: scene(k))
        assert len(looked) == 3, "at the first write, and each time a twentieth was written"

    def test_halves_that_were_left_behind_go_and_new_ones_stay(self):
        folder = cache_folder() / "scenes" / "00"
        folder.mkdir(parents=True)
        for name in ("old", "new"):
            (folder / f"{name}.partial").touch()
        self.age(folder / "old.partial", 2 * 24 * 60 * 60)
        cached(0, "train/0", lambda: scene(0))
        assert [path.name for path in folder.glob("*.partial")] == ["new.partial"]

    @pytest.mark.parametrize("given", ["20GB", "-1", "1e9"])
    def test_what_is_no_number_of_bytes(self, monkeypatch, given):
        monkeypatch.setenv("ISP_GYM_CACHE_SIZE", given)
        with pytest.raises(UserError, match=f"ISP_GYM_CACHE_SIZE must be a number of bytes.*'{given}'"):
            cached(0, "train/0", lambda: scene(0))
