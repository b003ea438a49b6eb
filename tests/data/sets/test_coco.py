import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco_mask

from isp_gym.data import available, check_data, load_scenes, sealed
from isp_gym.data.annotations.letterbox import Letterbox
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


def change(root, part, edit):
    path = root / "annotations" / "instances_test2017.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, part: [edit(entry) for entry in content[part]]}))


def relabel(root):
    """Other categories than the other files have."""
    change(root, "categories", lambda c: {**c, "name": c["name"] + "s"})


def same_photo_in_two_splits(root):
    (root / "annotations/instances_test2017.json").unlink()
    write(root / "annotations/instances_test2017.json", [(1, "val2017/val0.jpg")], [])


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
        assert torch.equal(mask, expected)

    def test_crowds_are_marked(self, coco):
        annotate(coco, entry(), entry(segmentation=rle(False), crowd=1, number=2))
        assert load(coco)[0].objects.crowd.tolist() == [False, True]

    def test_a_box_may_overhang_by_two_pixels_which_are_cut_off(self, coco):
        annotate(coco, entry(box=(50, -2, 12, 30), segmentation=[[50, -2, 62, -2, 62, 28]]))
        objects = load(coco)[0].objects
        assert objects.boxes.tolist() == [[25, 5, 30, 19]]
        assert objects.masks.any() and not objects.masks[:, :5].any()

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"box": (70, 10, 5, 5)}, "of a lamp in 'test0.jpg', the box .* no area inside the image of 60 x 40"),
            ({"box": (-9, 5, 4, 4)}, "no area"),
            ({"box": (20, 10, 0, 5)}, "no area"),
            ({"box": (20, 10, 5, -5)}, "no area"),
            ({"box": (20, math.nan, 5, 5)}, "no area"),
            ({"box": (20, 10, math.nan, 5)}, "no area"),
            ({"box": (20, 10, math.inf, 5)}, "reaches more than 2 pixels outside"),
            ({"box": (50, 5, 13, 5)}, "reaches more than 2 pixels outside the image of 60 x 40 pixels"),
            ({"box": (20, -3, 5, 9)}, "reaches more than 2 pixels outside"),
            ({"box": (1, 2, 3)}, "annotation 1 of 'test0.jpg' has the bbox"),
            ({"box": ("a", 2, 3, 4)}, "annotation 1 of 'test0.jpg' has the bbox"),
            ({"category": 99}, "annotation 1 of 'test0.jpg' has the category 99, which is not listed"),
            ({"segmentation": [[20, 10, 40, 10]]}, "the mask has a polygon of 4 numbers"),
            ({"segmentation": [[20, 10, 40, 10, 40, 30, 20]]}, "the mask has a polygon of 7 numbers"),
            ({"segmentation": [[20, 10, 40, 10, 40, math.nan]]}, "the mask has a polygon with a point that is no num"),
            ({"segmentation": [[20, 10, 70, 10, 40, 30]]}, "the mask reaches outside the image of 60 x 40"),
            ({"segmentation": ["polygon"]}, "the mask"),
            ({"segmentation": {"size": [60, 40], "counts": [2400]}}, "the mask is for 40 x 60 pixels, but the image"),
            ({"segmentation": {"size": [40, 60], "counts": [2399]}}, "run lengths that do not fill its 60 x 40 pixels"),
            ({"segmentation": {"size": [40, 60], "counts": [-1, 2401]}}, "run lengths that do not fill"),
            ({"segmentation": {"size": [40, 60], "counts": "05?"}}, "run lengths that do not fill"),
            ({"segmentation": {"size": [40, 60]}}, "the mask is neither polygons nor a run-length encoding"),
        ],
    )
    def test_an_impossible_object_is_an_error_or_its_image_is_skipped(self, coco, wrong, message):
        annotate(coco, entry(**wrong))
        with pytest.raises(UserError, match=rf"instances_test2017\.json: .*{message}"):
            load(coco)
        with pytest.warns(UserWarning, match=rf"skipped 1 of 2 test files; the first: .*{message}") as caught:
            assert load(coco, on_error="skip").ids == ("test/test1.jpg",)
        assert len(caught) == 1

    def test_boxes_alone_are_objects_without_masks(self, coco):
        annotate(coco, entry(segmentation=[]))
        assert load(coco)[0].objects.masks is None

    def test_some_with_a_mask_and_some_without_is_no_silent_loss(self, coco):
        annotate(coco, entry(), entry(segmentation=[], number=2))
        with pytest.raises(UserError, match=r"some objects in 'test0\.jpg' have a mask and others have none"):
            load(coco)


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

    def test_cocos_own_folder_holds_more_than_objects(self, coco):
        for name in ("captions_train2017", "person_keypoints_train2017", "captions_val2017", "image_info_test2017"):
            (coco / "annotations" / f"{name}.json").write_text("{}")
        assert len(load(coco, "train")) == 3 and len(load(coco)) == 2

    def test_a_held_out_tenth_is_at_least_one(self, coco):
        (coco / "annotations/instances_test2017.json").unlink()
        assert [len(load(coco, split)) for split in ("train", "validation", "test")] == [2, 1, 2]

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
            (
                lambda root: (root / "annotations/instances_val2017.json").write_text("[]"),
                "it is a list, not an object",
            ),
            (lambda root: (root / "annotations/instances_val2017.json").write_text("{}"), "'categories' is missing"),
            (
                lambda root: annotate(root, entry(image=99)),
                r"instances_test2017\.json: .*of image 99, which is not lis",
            ),
            (lambda root: annotate(root, entry(), entry()), r"annotation id 1 stands there more than once"),
            (lambda root: change(root, "images", lambda i: {**i, "id": 1}), "image id 1 stands there more than once"),
            (lambda root: change(root, "images", lambda i: {**i, "file_name": "a"}), "file_name 'a' stands there more"),
            (lambda root: change(root, "categories", lambda c: {**c, "id": 7}), "category id 7 stands there more than"),
            (
                lambda root: change(root, "categories", lambda c: {**c, "name": "x"}),
                "category name 'x' stands there mo",
            ),
            (lambda root: relabel(root), "do not have the same categories"),
            (lambda root: change(root, "images", lambda i: {**i, "width": "w"}), r"instances_test2017\.json"),
            (lambda root: same_photo_in_two_splits(root), r"val0\.jpg in two splits, validation and test"),
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

    def test_a_size_that_no_file_has_is_named_before_anything_is_made_of_it(self, coco):
        change(coco, "images", lambda image: {**image, "width": 10**6, "height": 10**6})
        annotate_size = {"size": [10**6, 10**6], "counts": [10**12]}
        change(coco, "annotations", lambda entry: {**entry, "segmentation": annotate_size})
        with pytest.raises(UserError, match=r"test0\.jpg: it has 60 x 40 pixels, but .* says 1000000 x 1000000"):
            load(coco).batch([0])

    @pytest.mark.parametrize("size", [(0, 40), (60, -1)])
    def test_an_image_without_pixels(self, coco, size):
        change(coco, "images", lambda image: {**image, "width": size[0], "height": size[1]})
        with pytest.raises(UserError, match=rf"'test0\.jpg' has {size[0]} x {size[1]} pixels there"):
            load(coco)

    def test_a_size_corrected_later_is_compared_again(self, coco):
        assert load(coco).batch([0])
        change(coco, "images", lambda image: {**image, "width": SIZE[1], "height": SIZE[0]})
        change(coco, "annotations", lambda entry: {**entry, "bbox": [1, 1, 2, 2], "segmentation": []})
        with pytest.raises(UserError, match=r"it has 60 x 40 pixels, but .* says 40 x 60"):
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


class TestAvailable:
    def test_counts_the_files_and_decodes_none(self, coco):
        for path in coco.rglob("*.jpg"):
            path.write_bytes(b"no photo")
        with sealed("test"):
            assert [available(f"coco:{coco}", split) for split in ("train", "validation", "test")] == [3, 2, 2]

    def test_what_is_skipped_for_its_annotation_does_not_count(self, coco):
        annotate(coco, entry(image=2, box=(500, 500, 9, 9)))
        assert [available(f"coco:{coco}", "test", on_error) for on_error in ("raise", "skip")] == [2, 1]
