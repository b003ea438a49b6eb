import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from isp_gym.data import SOURCES, SPLITS, check_data, load_scenes, registry
from isp_gym.data.readers.photos import read_photo
from isp_gym.data.sets import folder
from isp_gym.data.sets.base_photos import content_key, make_scene
from isp_gym.data.sets.folder_index import walk
from isp_gym.errors import UserError


def save(path, seed, size=(12, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)).save(path)


def fill(root, count=10):
    for i in range(count):
        save(root / f"photo {i}.png", i)
    return root


def load(root, split="train", count=4, image_size=8, **options):
    return load_scenes(f"folder:{root}", split, count, image_size, **options)


def members(root):
    """The photos of each split: with more scenes than photos, every photo has its turn."""
    return {split: set(load(root, split, count=30).photos) for split in SPLITS}


def same_pixels(a, b):
    return torch.equal(a.images, b.images) and torch.equal(a.targets, b.targets)


class TestFiles:
    def test_extensions_in_any_case(self, tmp_path):
        names = ["a.PNG", "b.Jpg", "c.JPEG", "d.tif", "e.TIFF", "f.png"]
        for seed, name in enumerate(names):
            save(tmp_path / name, seed)
        assert set.union(*members(tmp_path).values()) == set(names)

    def test_other_and_hidden_files_are_ignored(self, tmp_path):
        before = members(fill(tmp_path))
        (tmp_path / "notes.txt").write_text("no photo")
        (tmp_path / "._photo 0.png").write_text("no photo either")
        save(tmp_path / ".thumbnails" / "small.png", 99)
        (tmp_path / "folder.png").mkdir()
        assert members(tmp_path) == before

    def test_folders_below_count(self, tmp_path):
        save(tmp_path / "a" / "b" / "deep.png", 77)
        fill(tmp_path)
        assert "a/b/deep.png" in set.union(*members(tmp_path).values())

    def test_links_that_go_round(self, tmp_path):
        fill(tmp_path / "photos")
        (tmp_path / "photos" / "again").symlink_to(tmp_path / "photos", target_is_directory=True)
        assert sum(len(photos) for photos in members(tmp_path / "photos").values()) == 10
        assert len(list(walk(str(tmp_path / "photos")))) == 10

    @pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 400), (400, 1), (7, 300), (8, 8), (9, 8)])
    def test_small_and_elongated_photos(self, tmp_path, size):
        for seed in range(3):
            save(tmp_path / f"{seed}.png", seed, size)
        scenes = load(tmp_path, count=8)
        assert scenes.images.shape == (8, 3, 8, 8)
        assert torch.isfinite(scenes.images).all()
        assert 0 <= scenes.targets.min() <= scenes.targets.max() <= 1

    def test_deep_photos_keep_their_bits(self, tmp_path, png):
        for seed in range(3):
            level = np.full((8, 8, 3), 0x4000 + seed, np.uint16)
            (tmp_path / f"{seed}.png").write_bytes(png(level))
        levels = {split: load(tmp_path, split, 1).targets.double().mean().item() * 65535 for split in SPLITS}
        assert sorted(map(round, levels.values())) == [0x4000, 0x4001, 0x4002]


class TestSplitByContent:
    def test_each_photo_is_in_one_split(self, tmp_path):
        splits = members(fill(tmp_path))
        assert sum(map(len, splits.values())) == len(set.union(*splits.values())) == 10
        assert all(splits.values())

    def test_about_60_20_20(self, tmp_path):
        for i in range(400):
            (tmp_path / f"{i}.png").write_bytes(str(i).encode())
        source = SOURCES["folder"]
        sizes = [len(source.photos(str(tmp_path), split)) for split in SPLITS]
        assert sizes == pytest.approx([240, 80, 80], abs=25)

    @pytest.mark.parametrize("start", range(0, 30, 3))
    def test_three_photos_make_one_each(self, tmp_path, start):
        for seed in range(start, start + 3):
            save(tmp_path / f"{seed}.png", seed)
        assert [len(photos) for photos in members(tmp_path).values()] == [1, 1, 1]

    def test_moving_and_renaming_change_nothing(self, tmp_path):
        fill(tmp_path / "here")
        before = {split: load(tmp_path / "here", split) for split in SPLITS}
        assert all(len(scenes.images) for scenes in before.values())  # read before they move
        for i, path in enumerate(sorted((tmp_path / "here").iterdir())):
            to = tmp_path / "there" / f"sub {i % 2}" / f"{9 - i}.png"
            to.parent.mkdir(parents=True, exist_ok=True)
            path.rename(to)
        assert all(same_pixels(before[split], load(tmp_path / "there", split)) for split in SPLITS)

    def test_added_photos_do_not_move_the_others(self, tmp_path):
        before = members(fill(tmp_path, 12))
        after = members(fill(tmp_path, 20))
        assert all(before[split] <= after[split] for split in SPLITS)

    def test_copies_count_as_one_photo(self, tmp_path):
        before = members(fill(tmp_path))
        for i in range(10):
            shutil.copy(tmp_path / f"photo {i}.png", tmp_path / f"zz copy {i}.png")
        assert members(tmp_path) == before

    def test_photos_that_only_differ_far_behind_are_two(self, tmp_path):
        white = np.full((200, 200, 3), 255, np.uint8)
        for i in range(4):
            white[-1, -1] = i
            Image.fromarray(white).save(tmp_path / f"{i}.tif")
        assert sum(map(len, members(tmp_path).values())) == 4

    @pytest.mark.parametrize("count", [1, 2])
    def test_too_few(self, tmp_path, count):
        fill(tmp_path, count)
        shutil.copy(tmp_path / "photo 0.png", tmp_path / "copy.png")
        with pytest.raises(UserError, match=rf"holds {count} different photos?; at least 3"):
            load(tmp_path)


class TestExplicitSplits:
    @pytest.fixture(params=["validation", "val", "Val"])
    def root(self, request, tmp_path):
        for i, name in enumerate(["train", request.param, "test"]):
            save(tmp_path / name / "one.png", i)
            save(tmp_path / name / "sub" / "two.png", i + 10)
        return tmp_path

    def test_they_are_the_splits(self, root):
        assert members(root) == {split: {"one.png", "sub/two.png"} for split in SPLITS}
        scenes = [load(root, split) for split in SPLITS]
        assert not same_pixels(scenes[0], scenes[1])
        assert not same_pixels(scenes[0], scenes[2])

    def test_what_lies_beside_them_is_not_read(self, root):
        before = load(root)
        fill(root)
        save(root / "aside" / "x.png", 50)
        (root / "broken.png").symlink_to(root / "nowhere")
        os.mkfifo(root / "pipe.png")
        assert same_pixels(before, load(root))

    @pytest.mark.parametrize("empty", [0, 1, 2])
    def test_an_empty_one_is_named(self, root, empty):
        folder = next(path for path in root.iterdir() if path.name.lower().startswith(SPLITS[empty][:3]))
        shutil.rmtree(folder)
        folder.mkdir()
        with pytest.raises(UserError, match=rf"no photos in {folder};"):
            check_data(f"folder:{root}")

    def test_a_missing_one_is_named(self, root):
        shutil.rmtree(root / "test")
        with pytest.raises(UserError, match=r"has the subfolder \w+ but no test;"):
            check_data(f"folder:{root}")
        shutil.rmtree(root / "train")
        with pytest.raises(UserError, match="but no train and no test;"):
            check_data(f"folder:{root}")

    def test_one_photo_in_two_splits_names_both(self, root):
        shutil.copy(root / "train" / "one.png", root / "test" / "other.png")
        with pytest.raises(UserError, match="same photo in two splits") as caught:
            load(root)
        assert str(root / "train" / "one.png") in str(caught.value)
        assert str(root / "test" / "other.png") in str(caught.value)

    def test_two_folders_for_one_split(self, tmp_path):
        for name in ("train", "val", "validation", "test"):
            save(tmp_path / name / "a.png", len(name))
        with pytest.raises(UserError, match="both validation folders"):
            load(tmp_path)

    def test_a_file_called_train_is_no_split(self, tmp_path):
        fill(tmp_path)
        (tmp_path / "train").write_text("notes")
        assert len(load(tmp_path)) == 4


class TestBadFolder:
    @pytest.mark.parametrize("prepare", [check_data, load_scenes])
    def test_missing(self, tmp_path, prepare):
        with pytest.raises(UserError, match=r"the photo folder .*nowhere does not exist; give one with data=folder:"):
            prepare(f"folder:{tmp_path}/nowhere")

    def test_a_file(self, tmp_path):
        save(tmp_path / "a.png", 0)
        with pytest.raises(UserError, match="is not a folder"):
            load(tmp_path / "a.png")

    def test_empty(self, tmp_path):
        with pytest.raises(UserError, match="no photos in"):
            load(tmp_path)

    @pytest.mark.parametrize("make", [lambda p: p.symlink_to("nowhere"), os.mkfifo], ids=["broken link", "pipe"])
    def test_what_cannot_be_opened_is_named(self, tmp_path, make):
        make(fill(tmp_path) / "odd.png")
        with pytest.raises(UserError, match=r"odd\.png"):
            check_data(f"folder:{tmp_path}")

    def test_a_damaged_photo_is_named_when_it_is_needed(self, tmp_path):
        fill(tmp_path, 3)
        for path in tmp_path.iterdir():
            path.write_bytes(path.read_bytes()[:-60])
        check_data(f"folder:{tmp_path}")
        scenes = load(tmp_path)
        with pytest.raises(UserError, match=r"cannot use photo .*photo \d\.png"):
            scenes.batch([0])


class TestReading:
    def test_only_the_photos_that_are_needed_are_decoded(self, tmp_path, monkeypatch):
        read = []
        original = folder.read_photo
        monkeypatch.setattr(folder, "read_photo", lambda path: read.append(Path(path)) or original(path))
        scenes = load(fill(tmp_path, 20), count=4)
        assert not read, "nothing is decoded before it is needed"
        scenes.batch([1, 2])
        assert {path.name for path in read} == set(scenes.photos[1:3])
        load(tmp_path, count=4).batch([1, 2])
        assert len(read) == 2, "a second load of the same scenes decodes nothing"

    def test_a_photo_is_decoded_once_for_all_its_scenes(self, tmp_path, monkeypatch):
        read = []
        original = folder.read_photo
        monkeypatch.setattr(folder, "read_photo", lambda path: read.append(path) or original(path))
        scenes = load(fill(tmp_path, 3), count=12)
        assert len(scenes.batch([0]).images) and len(scenes.images.flatten(1).unique(dim=0)) == 12
        assert len(read) == 1

    def test_the_values_are_those_of_its_photo(self, tmp_path):
        scenes = load(fill(tmp_path), "train", 20)
        photos = SOURCES["folder"].photos(str(tmp_path), "train")
        for k in (0, 7, 19):
            pixels = read_photo(photos[k % len(photos)].path)
            image, target = make_scene(pixels, (content_key(pixels), k // len(photos), 0), 8)
            assert torch.equal(scenes[k].image, image) and torch.equal(scenes[k].target, target)

    def test_the_second_time_it_comes_from_the_cache(self, tmp_path, monkeypatch):
        first = load(fill(tmp_path), count=9)
        images = first.images
        registry._load.cache_clear()
        monkeypatch.setattr(folder, "read_photo", None)
        assert torch.equal(load(tmp_path, count=9).images, images)

    def test_more_scenes_than_can_be_named(self, tmp_path):
        with pytest.raises(UserError, match="do not fit in memory"):
            load(fill(tmp_path), count=10**12)

    @pytest.mark.parametrize("keep_date", [False, True])
    def test_a_changed_photo_is_noticed(self, tmp_path, keep_date):
        fill(tmp_path, 3)
        before = {split: load(tmp_path, split) for split in SPLITS}
        assert all(len(scenes.images) for scenes in before.values())  # read before it changes
        path = tmp_path / before["train"].photos[0]
        status = path.stat()
        path.unlink()
        save(path, 1234)
        if keep_date:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert path.stat().st_size == status.st_size or not keep_date
        assert not all(same_pixels(before[split], load(tmp_path, split)) for split in SPLITS)

    def test_a_folder_that_loses_its_photos_is_noticed(self, tmp_path):
        load(fill(tmp_path, 3))
        (tmp_path / "photo 0.png").unlink()
        with pytest.raises(UserError, match="at least 3"):
            load(tmp_path)

    def test_a_folder_that_gains_an_empty_split_is_noticed(self, tmp_path):
        load(fill(tmp_path))
        (tmp_path / "test").mkdir()
        with pytest.raises(UserError, match="has the subfolder test but no train and no validation"):
            load(tmp_path)

    def test_a_relative_path_follows_the_working_directory(self, tmp_path, monkeypatch):
        for i, name in enumerate("ab"):
            for k in range(3):
                save(tmp_path / name / "photos" / f"{k}.png", 10 * i + k)
        monkeypatch.chdir(tmp_path / "a")
        first = load("photos")
        monkeypatch.chdir(tmp_path / "b")
        assert not same_pixels(first, load("photos"))


class TestOnError:
    def make(self, root, broken):
        for split in SPLITS:
            (root / split).mkdir()
            for i in range(2):
                pixels = np.random.default_rng([i, len(split)]).integers(0, 256, (20, 20, 3), np.uint8)
                Image.fromarray(pixels).save(root / split / f"{i}.png")
        for i in range(broken):
            (root / "train" / f"broken{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([i]))

    def test_a_broken_photo_is_skipped_with_a_counted_warning(self, tmp_path):
        self.make(tmp_path, broken=2)
        with pytest.raises(UserError, match=r"broken\d\.png"):
            load(tmp_path).batch(range(4))
        with pytest.warns(UserWarning, match=r"skipped 2 of 4 train files; the first: .*broken\d\.png"):
            scenes = load(tmp_path, on_error="skip")
        assert set(scenes.photos) == {"0.png", "1.png"}

    def test_nothing_to_skip_is_silent(self, tmp_path, recwarn):
        self.make(tmp_path, broken=0)
        assert load(tmp_path, on_error="skip").ids == load(tmp_path).ids
        assert not [w for w in recwarn if "skipped" in str(w.message)]

    def test_nothing_left_is_an_error(self, tmp_path):
        self.make(tmp_path, broken=1)
        for i in range(2):
            (tmp_path / "train" / f"{i}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([9 + i]))
        with pytest.raises(UserError, match="none of the 3 train files can be used"):
            load(tmp_path, on_error="skip")

    def test_another_word(self, tmp_path):
        self.make(tmp_path, broken=0)
        with pytest.raises(UserError, match="unknown on_error 'ignore'"):
            load(tmp_path, on_error="ignore")
