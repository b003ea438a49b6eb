"""Scenes depend on what a photo shows; not on its name, its folder, its format, its split or its neighbours."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from isp_gym.data import SPLITS, load_scenes
from isp_gym.data.sets.base_photos import content_key, make_scene

PHOTOS = [np.random.default_rng(i).integers(0, 256, (20, 30 + i, 3), np.uint8) for i in range(5)]
FORMATS = {"png": {"compress_level": 1}, "PNG": {"compress_level": 9}, "tif": {}}


@st.composite
def layouts(draw):
    """For each photo a path below the folder: in a split's subfolder, or all in one, under any name and format."""
    splits = draw(st.permutations([*SPLITS, *draw(st.lists(st.sampled_from(SPLITS), min_size=2, max_size=2))]))
    flat = draw(st.booleans())
    names = draw(st.lists(st.text("abz 09-", min_size=1, max_size=8), min_size=5, max_size=5, unique_by=str.strip))
    kinds = draw(st.lists(st.sampled_from([*FORMATS]), min_size=5, max_size=5))
    below = draw(st.lists(st.sampled_from(["", "x/", "y/z/"]), min_size=5, max_size=5))
    tops = ["" if flat else f"{split}/" for split in splits]
    return [f"{top}{sub}{name}.{kind}" for top, sub, name, kind in zip(tops, below, names, kinds, strict=True)]


@settings(max_examples=15, deadline=None, phases=[Phase.generate])  # a failure needs no shrinking to be clear
@given(layouts(), st.integers(0, 3), st.booleans())
def test_names_layouts_formats_and_neighbours_change_no_scene(paths, seed, copied):
    shown = {}
    with TemporaryDirectory() as folder:
        for pixels, name in zip(PHOTOS, paths, strict=True):
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, **FORMATS[path.suffix[1:]])
            if copied:
                shutil.copy(path, path.with_stem(path.stem + " copy"))
        for split in SPLITS:
            for scene in load_scenes(f"folder:{folder}", split, 12, 8, seed):
                photo = scene.id.split("/", 1)[1].rsplit("/", 1)[0].replace(" copy", "")
                found = [i for i, path in enumerate(paths) if path in (photo, f"{split}/{photo}")]
                shown.setdefault(found[0], []).append(scene)
    assert sorted(shown) == [0, 1, 2, 3, 4], "every photo had its turn"
    for i, scenes in shown.items():
        for j, scene in enumerate(scenes):
            image, target = make_scene(PHOTOS[i], (content_key(PHOTOS[i]), j, seed), 8)
            assert torch.equal(scene.image, image) and torch.equal(scene.target, target)


class TestKey:
    def test_shape_type_and_every_value_count(self):
        pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
        others = [pixels.reshape(4, 2, 3), pixels.astype(np.uint16), np.where(pixels == 23, 0, pixels)]
        assert len({content_key(p) for p in (pixels, *others)}) == 4

    def test_layout_in_memory_does_not(self):
        pixels = np.random.default_rng(0).integers(0, 65536, (4, 6, 3)).astype(np.uint16)
        same = [np.asfortranarray(pixels), pixels.astype(">u2"), pixels[:, ::-1].copy()[:, ::-1]]
        assert {content_key(p) for p in same} == {content_key(pixels)}


def write_coco(root, names):
    for split in ("train", "val", "test"):
        rows = [{"id": i, "file_name": name, "width": 30, "height": 20} for i, name in enumerate(names[split])]
        for i, name in enumerate(names[split]):
            (root / split / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(PHOTOS[i][:20, :30]).save(root / split / name)
        (root / "annotations").mkdir(exist_ok=True)
        content = {"images": rows, "annotations": [], "categories": [{"id": 1, "name": "dog"}]}
        (root / "annotations" / f"{split}.json").write_text(json.dumps(content))


@pytest.mark.parametrize("size", [16, 24])
def test_photos_with_boxes_too(tmp_path, size):
    write_coco(tmp_path / "a", {"train": ["1.png", "2.png"], "val": ["3.png"], "test": ["4.png"]})
    write_coco(tmp_path / "b", {"train": ["x/zz.tif"], "val": ["yy.png", "aa.png"], "test": ["1.png"]})
    first = {}
    for seed in (0, 1):
        sets = [load_scenes(f"coco:{tmp_path / name}", s, 9, size, seed) for name in "ab" for s in SPLITS]
        for photo in (0, 1):
            scenes = [scenes[photo].image for scenes in sets if len(scenes) > photo]
            assert all(torch.equal(scene, scenes[0]) for scene in scenes)
        assert not torch.equal(sets[0][0].image, sets[0][1].image)
        first[seed] = sets[0][0].image
    assert not torch.equal(first[0], first[1])
