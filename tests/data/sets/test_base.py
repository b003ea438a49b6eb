import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from isp_gym.data import SOURCES, data_card, load_scenes
from isp_gym.data.sets.base import BLOCK, BLOCKS, checksum, file_digest

LARGE = BLOCK * BLOCKS


class TestFileDigest:
    def test_it_is_of_the_content_and_nothing_else(self, tmp_path):
        for name in ("a", "b"):
            (tmp_path / name).write_bytes(b"content")
        os.utime(tmp_path / "b", (1, 1))
        assert file_digest(tmp_path / "a") == file_digest(tmp_path / "b")

    @pytest.mark.parametrize("at", [0, 1, LARGE // 2, LARGE - 1])
    def test_every_byte_of_a_small_file_counts(self, tmp_path, at):
        data = bytearray(LARGE)
        (tmp_path / "a").write_bytes(data)
        before = file_digest(tmp_path / "a")
        data[at] = 1
        (tmp_path / "a").write_bytes(data)
        assert file_digest(tmp_path / "a") != before

    @pytest.mark.parametrize("part", [0, 1 / 3, 2 / 3, 1])
    def test_blocks_of_a_large_file_count(self, tmp_path, part):
        data = bytearray(10 * LARGE)
        (tmp_path / "a").write_bytes(data)
        before = file_digest(tmp_path / "a")
        data[int(part * (len(data) - 1 - BLOCK)) + BLOCK // 2] = 1
        (tmp_path / "a").write_bytes(data)
        assert file_digest(tmp_path / "a") != before

    def test_the_size_of_a_large_file_counts(self, tmp_path):
        for name, size in (("a", 10 * LARGE), ("b", 10 * LARGE + 1)):
            (tmp_path / name).write_bytes(bytes(size))
        assert file_digest(tmp_path / "a") != file_digest(tmp_path / "b")


def test_the_order_of_scenes_does_not_count_but_which_file_is_whose_does(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    a, b = tmp_path / "a", tmp_path / "b"
    whole = checksum([("x", None, [a]), ("y", 1, [b])])
    assert whole == checksum([("y", 1, [b]), ("x", None, [a])])
    others = [
        *([("x", None, [b]), ("y", 1, [a])], [("x", None, [a]), ("z", 1, [b])], [("x", None, [a]), ("y", 2, [b])]),
        *([("x", None, [a, b]), ("y", 1, [])], [("x", None, [a])]),
    ]
    assert len({whole, *(checksum(other) for other in others)}) == len(others) + 1


@pytest.fixture
def coco(tmp_path):
    root = tmp_path / "here"
    for split in ("train", "val", "test"):
        images = []
        for i in range(3):
            path = root / f"{split}2017" / f"{split}{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(len(split) + i).integers(0, 255, (8, 8, 3), np.uint8)).save(path)
            images.append({"id": i, "file_name": path.name, "width": 8, "height": 8})
        box = {"id": 1, "image_id": 0, "category_id": 1, "bbox": [1, 1, 4, 4], "segmentation": [[1, 1, 5, 1, 5, 5]]}
        content = {"images": images, "annotations": [box], "categories": [{"id": 1, "name": "dog"}]}
        (root / "annotations").mkdir(exist_ok=True)
        (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))
    return root


def card(root, count=3, source="coco", splits=("train", "test")):
    return data_card(load_scenes(f"{source}:{root}", split, count, 8) for split in splits)


def edit(root, change):
    path = root / "annotations" / "instances_test2017.json"
    content = json.loads(path.read_text())
    change(content["annotations"][0])
    path.write_text(json.dumps(content))


class TestDataCard:
    def test_it_says_where_scenes_come_from(self, coco):
        found = card(coco)
        source = SOURCES["coco"]
        assert found["spec"] == f"coco:{coco}" and found["version"] == "as on disk"
        assert (found["licence"], found["reference"]) == (source.licence, source.reference)
        assert set(found["checksums"]) == {"train", "test"}
        assert all(len(digest) == 64 for digest in found["checksums"].values())
        json.dumps(found)

    def test_a_copy_elsewhere_has_the_same(self, coco, tmp_path):
        shutil.copytree(coco, tmp_path / "there")
        assert card(coco)["checksums"] == card(tmp_path / "there")["checksums"]

    @pytest.mark.parametrize(
        "change",
        [
            lambda root: (root / "test2017/test1.png").write_bytes((root / "test2017/test2.png").read_bytes()),
            lambda root: edit(root, lambda box: box.update(bbox=[1, 1, 4, 3])),
            lambda root: edit(root, lambda box: box.update(segmentation=[[1, 1, 5, 1, 5, 4]])),
            lambda root: edit(root, lambda box: box.update(image_id=1)),
            lambda root: edit(root, lambda box: box.update(iscrowd=1)),
        ],
    )
    def test_any_change_of_a_split_is_one_of_its_checksum(self, coco, change):
        before = card(coco)["checksums"]
        change(coco)
        after = card(coco)["checksums"]
        assert after["train"] == before["train"] and after["test"] != before["test"]

    def test_what_was_not_read_does_not_count(self, coco):
        before = card(coco, count=1)["checksums"]
        (coco / "test2017/test2.png").unlink()
        assert card(coco, count=1)["checksums"] == before != card(coco, count=2)["checksums"]

    def test_photos_of_a_folder(self, tmp_path):
        for i in range(9):
            Image.fromarray(np.full((8, 8, 3), 9 * i, np.uint8)).save(tmp_path / f"{i}.png")
        before = card(tmp_path, 99, "folder", ("train", "validation", "test"))["checksums"]
        assert len(set(before.values())) == 3
        name = load_scenes(f"folder:{tmp_path}", "train", 99, 8).photos[0]
        Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(tmp_path / name)
        assert card(tmp_path, 99, "folder", ("train", "validation", "test"))["checksums"] != before

    @pytest.mark.parametrize("source", ["photos", "synthetic"])
    def test_sources_without_files_of_yours(self, source):
        first, more = (data_card([load_scenes(source, "test", n, 16)]) for n in (3, 6))
        assert first == more and first["spec"] == source and len(first["checksums"]["test"]) == 64
