import json

import numpy as np
import pytest
from PIL import Image

from isp_gym.data import DATA_SOURCES, SOURCES, available, check_data, load_scenes
from isp_gym.data.sets import base_photos
from isp_gym.errors import UserError

TINY = {"count": 2, "image_size": 8}


def test_table_is_complete_and_made_of_strings():
    assert [row["name"] for row in DATA_SOURCES] == [
        *("photos", "skimage", "synthetic", "folder:PATH", "raw:PATH"),
        *("fivek:PATH", "fivek-a:PATH", "fivek-b:PATH", "fivek-d:PATH", "fivek-e:PATH", "coco:PATH"),
        *("voc:PATH", "yolo:PATH"),
        *("lod:PATH", "lis:PATH", "lod-normal:PATH", "lod-all:PATH", "lis-normal:PATH", "lis-all:PATH"),
    ]
    for row in DATA_SOURCES:
        assert set(row) == {"name", "licence", "reference", "version", "description"}
        assert all(isinstance(value, str) and value for value in row.values())
    json.dumps(DATA_SOURCES)


def test_names_are_unique_and_their_own():
    assert all(name == source.name for name, source in SOURCES.items())


@pytest.mark.parametrize("name", ["skimag", "skimages", "SKIMAGE"])
@pytest.mark.parametrize("call", [check_data, lambda data: load_scenes(data, **TINY)], ids=["check", "load"])
def test_an_unknown_source_is_told_what_there_is(name, call):
    with pytest.raises(UserError, match=rf"unknown data '{name}'.*known: .*folder:PATH, .*photos, raw:PATH, skimage"):
        call(name)


def test_the_nearest_source_is_suggested():
    with pytest.raises(UserError, match="did you mean 'skimage'"):
        check_data("skimag")
    with pytest.raises(UserError, match="did you mean 'folder:PATH'"):
        check_data("folders:photos")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("skimage:coffee", "data=skimage, not data=skimage:coffee"),
        ("folder", "is written data=folder:PATH$"),
        ("folder:", "is written data=folder:PATH$"),
    ],
)
def test_arguments_that_are_missing_or_too_many(data, words):
    with pytest.raises(UserError, match=words):
        check_data(data)
    with pytest.raises(UserError, match=words):
        load_scenes(data, **TINY)


@pytest.mark.parametrize("name", ["count", "image_size", "seed"])
@pytest.mark.parametrize("value", [-1, 1.5, "8", None, True, np.float32(2)])
def test_numbers_are_whole_and_large_enough(name, value):
    with pytest.raises(UserError, match=rf"{name} must be a whole number of at least [01], not "):
        load_scenes(**{**TINY, name: value})


@pytest.mark.parametrize("name", ["count", "image_size"])
def test_zero_scenes_or_pixels(name):
    with pytest.raises(UserError, match=f"{name} must be"):
        load_scenes(**{**TINY, name: 0})


@pytest.mark.parametrize("sizes", [{"count": 10**12}, {"image_size": 10**7}, {"count": 10**30}])
def test_more_than_memory_holds(sizes):
    with pytest.raises(UserError, match="do not fit in memory"):
        load_scenes(**{**TINY, **sizes})


def test_whole_numbers_of_numpy_will_do():
    scenes = load_scenes(count=np.int64(2), image_size=np.uint8(8), seed=np.int32(0))
    assert scenes.ids == load_scenes(**TINY).ids


@pytest.mark.parametrize("split", ["val", "Test", ""])
def test_an_unknown_split(split):
    with pytest.raises(UserError, match=r"unknown split .*known: test, train, validation"):
        load_scenes(split=split, **TINY)


def test_an_unknown_split_is_told_before_the_data_is_looked_for():
    with pytest.raises(UserError, match="unknown split"):
        load_scenes("folder:nowhere", "tests")


@pytest.fixture
def _no_decoding(monkeypatch):
    def refuse(path):
        raise AssertionError(f"decoded {path}")

    monkeypatch.setattr(base_photos, "read_photo", refuse)
    monkeypatch.setattr(Image, "open", refuse)


@pytest.mark.usefixtures("_no_decoding")
def test_check_decodes_nothing(tmp_path):
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(bytes([i]) * 9)  # no photo at all: only load finds out
    check_data(f"folder:{tmp_path}")
    check_data("photos")


def test_a_second_load_decodes_nothing(request):
    first = load_scenes(**TINY)
    request.getfixturevalue("_no_decoding")
    assert load_scenes(**TINY).ids == first.ids
    with pytest.raises(AssertionError, match="decoded"):
        load_scenes(count=2, image_size=11)


def test_the_set_says_where_it_comes_from(tmp_path):
    for i in range(3):
        Image.new("RGB", (9, 9), (i, i, i)).save(tmp_path / f"{i}.png")
    assert load_scenes(**TINY).data == "photos"
    assert load_scenes(f"folder:{tmp_path}", **TINY).data == f"folder:{tmp_path}"
    assert load_scenes(split="test", **TINY).split == "test"


@pytest.mark.parametrize("data", ["photos", "skimage", "synthetic"])
def test_of_scenes_that_are_cut_or_drawn_there_is_no_end(data):
    assert available(data, "test") is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("photo", "test"), "did you mean 'photos'"),
        (("photos", "tset"), "did you mean 'test'"),
        (("photos", "test", "ignore"), "unknown on_error 'ignore'"),
        (("coco:nowhere", "test"), "nowhere"),
        (("folder:nowhere", "test"), "the photo folder nowhere does not exist"),
    ],
)
def test_what_cannot_be_counted_is_told(arguments, words):
    with pytest.raises(UserError, match=words):
        available(*arguments)
