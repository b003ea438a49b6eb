import subprocess
import sys

import pytest
import torch

from isp_gym.data import Scene
from isp_gym.data.cache import cache_folder, cached


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

    def test_two_processes_that_write_and_delete_the_same_entries(self, tmp_path):
        command = [sys.executable, "-c", SHARING, str(tmp_path)]
        both = [subprocess.Popen([*command, name], stderr=subprocess.PIPE, text=True) for name in "ab"]
        assert [process.communicate()[1] for process in both] == ["", ""]
        assert [process.returncode for process in both] == [0, 0]
        assert entries() and all(path.suffix == ".safetensors" for path in entries())
