import json

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from isp_gym.data import check_data, load_scenes
from isp_gym.data.letterbox import Letterbox
from isp_gym.errors import UserError

SIZE = (60, 40)  # width, height: letterboxed to 30, the image is 30 x 20 with 5 black rows above and below


def photo(path, seed=0, size=SIZE):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(60, 200, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)


def rle(compressed):
    inside = np.zeros((SIZE[1], SIZE[0]), np.uint8, order="F")
    inside[10:30, 20:40] = 1
    if compressed:
        encoded = coco_mask.encode(inside)
        return {**encoded, "counts": encoded["counts"].decode()}
    flat = inside.ravel(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    return {"size": [SIZE[1], SIZE[0]], "counts": np.diff([0, *ends, len(flat)]).tolist()}


def entry(image=1, box=(20, 10, 20, 20), category=7, segmentation=None, crowd=0, number=1):
    polygon = [[20, 10, 40, 10, 40, 30, 20, 30]] if segmentation is None else segmentation
    return {
        **{"id": number, "image_id": image, "category_id": category, "bbox": list(box), "iscrowd": crowd},
        **{"segmentation": polygon, "area": 1.0},
    }


def write(path, images, annotations):
    path.parent.mkdir(parents=True, exist_ok=True)
    categories = [{"id": 7, "name": "lamp"}, {"id": 3, "name": "dog"}]
    rows = [{"id": i, "file_name": name, "width": SIZE[0], "height": SIZE[1]} for i, name in images]
    path.write_text(json.dumps({"images": rows, "annotations": annotations, "categories": categories}))


@pytest.fixture
def coco(tmp_path, monkeypatch):
    monkeypatch.setenv("ISP_GYM_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "coco"
    for split, count in (("train", 3), ("val", 2), ("test", 2)):
        names = [f"{split}{i}.jpg" for i in range(count)]
        for i, name in enumerate(names):
            photo(root / f"{split}2017" / name, i)
        write(root / "annotations" / f"instances_{split}2017.json", list(enumerate(names, 1)), [entry()])
    return root


def annotate(root, *annotations):
    names = [f"test{i}.jpg" for i in range(2)]
    write(root / "annotations" / "instances_test2017.json", list(enumerate(names, 1)), list(annotations))


def load(root, split="test", **options):
    return load_scenes(f"coco:{root}", split, 99, 30, **options)


class TestObjects:
    def test_boxes_move_with_the_letterbox(self, coco):
        batch = load(coco).batch([0, 1])
        objects = batch.objects[0]
        assert objects.boxes.tolist() == [[10, 10, 20, 20]]
        assert objects.classes == ("dog", "lamp") and objects.labels.tolist() == [1]
        assert len(batch.objects[1]) == 0 and batch.objects[1].masks.shape == (0, 30, 30)

    @pytest.mark.parametrize("segmentation", [None, rle(True), rle(False)], ids=["polygon", "compressed", "counts"])
    def test_masks_fill_their_boxes(self, coco, segmentation):
        annotate(coco, entry(segmentation=segmentation))
        (mask,) = load(coco)[0].objects.masks
        expected = torch.zeros(30, 30, dtype=torch.bool)
        expected[10:20, 10:20] = True
        union, common = (mask | expected).sum(), (mask & expected).sum()
        assert common / union > 0.8 and expected[mask].float().mean() > 0.8

    def test_crowds_are_marked(self, coco):
        annotate(coco, entry(), entry(segmentation=rle(False), crowd=1, number=2))
        assert load(coco)[0].objects.crowd.tolist() == [False, True]

    def test_a_box_partly_outside_is_clipped(self, coco):
        annotate(coco, entry(box=(50, -10, 40, 30)))
        assert load(coco)[0].objects.boxes.tolist() == [[25, 5, 30, 15]]

    @pytest.mark.parametrize("box", [(70, 10, 5, 5), (20, 10, 0, 5), (20, 10, 5, -5), (-9, 5, 4, 4)])
    def test_a_box_without_area_inside_is_an_error_or_skipped(self, coco, box):
        annotate(coco, entry(box=box))
        with pytest.raises(UserError, match=r"instances_test2017\.json: the box .* of a lamp in 'test0\.jpg'"):
            load(coco)
        with pytest.warns(UserWarning, match="skipped 1 of 2 test files"):
            assert load(coco, on_error="skip").ids == ("test/test1.jpg",)


class TestPixels:
    def test_the_photo_is_the_target_and_the_input_is_dark(self, coco):
        scene = load(coco)[0]
        assert scene.target[:, 5:25].mean() > 0.4 and scene.image[:, 5:25].mean() < 0.2
        for image in (scene.image, scene.target):
            assert not image[:, :5].any() and not image[:, 25:].any()

    def test_same_seed_same_scene_another_seed_another(self, coco):
        first = load_scenes(f"coco:{coco}", "test", 1, 30, 0)[0].image
        assert torch.equal(first, load_scenes(f"coco:{coco}", "test", 2, 30, 0)[0].image)
        assert not torch.equal(first, load_scenes(f"coco:{coco}", "test", 1, 30, 1)[0].image)


class TestLayouts:
    def test_three_files_are_the_splits(self, coco):
        ids = {split: load(coco, split).ids for split in ("train", "validation", "test")}
        assert [len(ids[split]) for split in ids] == [3, 2, 2] and ids["validation"][0] == "validation/val0.jpg"

    def test_without_a_test_file_val_is_the_test(self, coco):
        (coco / "annotations/instances_test2017.json").unlink()
        names = [f"many{i}.jpg" for i in range(40)]
        for i, name in enumerate(names):
            photo(coco / "train2017" / name, i)
        write(coco / "annotations/instances_train2017.json", list(enumerate(names, 1)), [])
        splits = {split: load(coco, split).ids for split in ("train", "validation", "test")}
        assert splits["test"] == ("test/val0.jpg", "test/val1.jpg")
        assert len(splits["train"]) + len(splits["validation"]) == 40 and 1 <= len(splits["validation"]) <= 12

    def test_one_file_is_split_by_name(self, tmp_path, monkeypatch):
        monkeypatch.setenv("ISP_GYM_CACHE", str(tmp_path / "cache"))
        names = [f"{i}.png" for i in range(30)]
        for i, name in enumerate(names):
            photo(tmp_path / "images" / name, i)
        write(tmp_path / "mine.json", list(enumerate(names, 1)), [entry()])
        ids = [load(tmp_path / "mine.json", split).photos for split in ("train", "validation", "test")]
        assert sorted(name for part in ids for name in part) == sorted(names)
        assert len(ids[0]) > len(ids[1]) > 0 and ids[2]

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda root: (root / "annotations/instances_val2017.json").unlink(), "none for its val annotations"),
            (lambda root: (root / "annotations/instances_val2017.json").write_text(""), "no COCO annotation file"),
            (lambda root: (root / "annotations/instances_val2017.json").write_text("[]"), "no COCO annotation file"),
            (lambda root: annotate(root, entry(category=99)), r"instances_test2017\.json.*KeyError: 99"),
            (lambda root: annotate(root, entry(image=99)), r"instances_test2017\.json.*KeyError: 99"),
            (lambda root: annotate(root, entry(box=(1, 2, 3))), r"instances_test2017\.json.*ValueError"),
        ],
    )
    def test_a_wrong_layout_is_named(self, coco, damage, message):
        damage(coco)
        with pytest.raises(UserError, match=message):
            check_data(f"coco:{coco}")

    def test_a_missing_image_is_named_or_skipped(self, coco):
        (coco / "test2017/test1.jpg").unlink()
        with pytest.raises(UserError, match=r"lists test1\.jpg, which is not at"):
            load(coco)
        with pytest.warns(UserWarning, match="skipped 1 of 2"):
            assert len(load(coco, on_error="skip")) == 1

    def test_an_image_of_another_size_is_named(self, coco):
        photo(coco / "test2017/test0.jpg", size=(40, 60))
        with pytest.raises(UserError, match=r"test0\.jpg: it has 40 x 60 pixels, but .*2017\.json says 60 x 40"):
            load(coco).batch([0])

    def test_nothing_there(self):
        with pytest.raises(UserError, match="no COCO data at /nowhere"):
            check_data("coco:/nowhere")


class TestLetterbox:
    @pytest.mark.parametrize("size", [(64, 48), (48, 64), (50, 50), (1000, 10)])
    def test_the_whole_image_fits_and_nothing_else_is_lit(self, size):
        frame = Letterbox(size, 32)
        square = frame.image(np.full((size[1], size[0], 3), 255, np.uint8))
        assert np.array_equal(square[..., 0] > 0, frame.inside()) and square[frame.inside()].min() > 0.9999
        x1, y1, x2, y2 = frame.box((0, 0, *size))
        assert (x2 - x1) * (y2 - y1) == pytest.approx(frame.inside().sum())
        assert max(x2 - x1, y2 - y1) == 32

    def test_sixteen_bits_are_kept(self):
        pixels = np.arange(32 * 32 * 3, dtype=np.uint16).reshape(32, 32, 3)
        np.testing.assert_allclose(Letterbox((32, 32), 32).image(pixels) * 65535, pixels, atol=0.01)
