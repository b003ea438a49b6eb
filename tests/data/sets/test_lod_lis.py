import json

import cv2
import numpy as np
import pytest
from PIL import Image

from isp_gym.data import check_data, load_scenes
from isp_gym.data.annotations.coco_classes import COCO_CLASSES, coco_class
from isp_gym.errors import UserError

SHOTS = {"train": range(1, 41), "test": range(41, 47)}  # odd: well lit, even: dark


def light_of(number):
    return "dark" if number % 2 == 0 else "normal"


def write_raw(path, number, size=(30, 20)):
    """A 16-bit PNG whose red is brightest, with more shades than 8 bits have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shades = np.arange(size[0] * size[1], dtype=np.uint16).reshape(size[1], size[0]) + 100 * number
    cv2.imwrite(str(path), np.stack([shades, shades * 2, shades * 3], 2))  # blue, green, red


def write_jpeg(path, grey):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 30, 3), grey, np.uint8)).save(path, format="JPEG")


def xml(name="motorbike", box=(7, 5, 12, 10), size=(30, 20)):
    x1, y1, x2, y2 = box
    corners = f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
    found = f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>" if name else ""
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{found}</annotation>"


@pytest.fixture(params=["-", "_"])
def lod(tmp_path, monkeypatch, request):
    """As distributed, with either spelling of the folders."""
    monkeypatch.setenv("ISP_GYM_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "LOD"
    (root / "Annotations").mkdir(parents=True)
    for numbers in SHOTS.values():
        for n in numbers:
            name = light_of(n) if request.param == "-" else light_of(n).title()
            write_raw(root / f"RAW{request.param}{name}" / f"{n}.png", n)
            write_jpeg(root / f"RGB{request.param}{name}" / f"{n}.JPG", 100 + n)
            (root / "Annotations" / f"{n}.xml").write_text(xml())
    for name, split in (("train.txt", "train"), ("val.txt", "test")):
        (root / name).write_text("".join(f"{n}\n" for n in SHOTS[split]))
    return root


class TestLOD:
    @pytest.mark.parametrize(("source", "lights"), [("lod", {0}), ("lod-normal", {1}), ("lod-all", {0, 1})])
    def test_parts(self, lod, source, lights):
        numbers = {}
        for split in ("train", "validation", "test"):
            numbers[split] = {int(p.split("/")[1][:-4]) for p in load_scenes(f"{source}:{lod}", split, 99, 30).photos}
            assert {n % 2 for n in numbers[split]} == lights
        assert numbers["test"] == {n for n in SHOTS["test"] if n % 2 in lights}
        assert numbers["train"] | numbers["validation"] == {n for n in SHOTS["train"] if n % 2 in lights}
        assert not numbers["train"] & numbers["validation"] and len(numbers["validation"]) < len(numbers["train"]) / 2

    def test_both_exposures_of_a_scene_are_in_one_split(self, lod):
        splits = [load_scenes(f"lod-all:{lod}", split, 99, 30).photos for split in ("train", "validation")]
        scenes = [{(int(photo.split("/")[1][:-4]) + 1) // 2 for photo in photos} for photos in splits]
        assert not scenes[0] & scenes[1]

    def test_sixteen_bits_objects_and_camera(self, lod):
        scene = load_scenes(f"lod:{lod}", "test", 99, 30)[0]
        assert scene.target is None and len(scene.image.unique()) > 256
        assert scene.image[0].sum() > 2.9 * scene.image[2].sum()  # red and blue where they belong
        assert scene.camera[:, 6:-6].mean() * 255 == pytest.approx(142, abs=2)
        assert scene.objects.boxes.tolist() == [[6, 9, 12, 15]]  # counted from 1 in the file, and 5 rows lower here
        assert scene.objects.classes == COCO_CLASSES
        assert [COCO_CLASSES[label] for label in scene.objects.labels] == ["motorcycle"]

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda root: (root / "Annotations/42.xml").write_text(""), r"42\.xml: it is no Pascal VOC"),
            (lambda root: (root / "Annotations/42.xml").write_text(xml("dragon")), r"42\.xml: unknown COCO class"),
            (
                lambda root: (root / "Annotations/42.xml").write_text(xml(box=(90, 5, 99, 9))),
                r"42\.xml: of a motorcycle in 'RAW.[dD]ark/42.png', the box",
            ),
            (lambda root: (root / "Annotations/42.xml").unlink(), r"there is no .*42\.xml"),
            (lambda root: next(root.glob("RAW?[dD]ark/42.png")).unlink(), r"there is no .*42\.png"),
            (lambda root: next(root.glob("RGB?[dD]ark/42.JPG")).unlink(), r"there is no .*42\.JPG"),
        ],
    )
    def test_a_broken_shot_is_named_or_skipped(self, lod, damage, message):
        damage(lod)
        with pytest.raises(UserError, match=message):
            load_scenes(f"lod:{lod}", "test", 99, 30)
        with pytest.warns(UserWarning, match=f"skipped 1 of 3 test files; the first: .*{message}"):
            assert len(load_scenes(f"lod:{lod}", "test", 99, 30, on_error="skip")) == 2

    def test_labels_of_adaptive_isp_where_there_is_no_xml(self, lod):
        (lod / "labels").mkdir()
        for path in list((lod / "Annotations").iterdir()):
            (lod / "labels" / f"{path.stem}.txt").write_text("3 0.3 0.35 0.2 0.3\n")
            path.unlink()
        objects = load_scenes(f"lod:{lod}", "test", 99, 30)[0].objects
        assert objects.boxes.tolist() == [pytest.approx([6, 9, 12, 15], abs=1e-4)]
        assert objects.classes == COCO_CLASSES and objects.labels.tolist() == [coco_class("motorcycle")]

    def test_an_xml_goes_before_labels(self, lod):
        (lod / "labels").mkdir()
        (lod / "labels/42.txt").write_text("0 0.5 0.5 1 1\n")
        assert load_scenes(f"lod:{lod}", "test", 99, 30)[0].objects.labels.tolist() == [coco_class("motorcycle")]

    def test_neither_an_xml_nor_labels(self, lod):
        (lod / "labels").mkdir()
        (lod / "Annotations/42.xml").unlink()
        with pytest.raises(UserError, match=r"there is no .*Annotations/42\.xml"):
            load_scenes(f"lod:{lod}", "test", 99, 30)

    @pytest.mark.parametrize("place", ["RAW-dark-Annotations", "RAW-dark/Annotations", "Annotations/RAW-dark"])
    def test_the_second_layout_of_annotations(self, lod, place):
        raw = next(lod.glob("RAW?[dD]ark")).name
        folder = lod / place.replace("RAW-dark", raw)
        folder.mkdir(parents=True)
        for n in SHOTS["test"]:
            (folder / f"{n}.xml").write_text(xml("person"))
        assert load_scenes(f"lod:{lod}", "test", 99, 30)[0].objects.labels.tolist() == [coco_class("person")]
        assert load_scenes(f"lod-normal:{lod}", "test", 99, 30)[0].objects.labels.tolist() == [coco_class("motorbike")]

    def test_difficult_objects_are_neither_found_nor_missed(self, lod):
        marked = xml().replace("<bndbox>", "<difficult>1</difficult><bndbox>")
        (lod / "Annotations/42.xml").write_text(marked)
        assert load_scenes(f"lod:{lod}", "test", 99, 30)[0].objects.crowd.tolist() == [True]

    def test_a_shot_in_both_lists_is_an_error(self, lod):
        (lod / "val.txt").write_text("42\n2\n")
        with pytest.raises(UserError, match=r"2\.png in two splits"):
            check_data(f"lod:{lod}")

    def test_no_objects_is_a_fair_annotation(self, lod):
        (lod / "Annotations/42.xml").write_text(xml(name=""))
        assert len(load_scenes(f"lod:{lod}", "test", 99, 30)[0].objects) == 0

    def test_a_truncated_raw(self, lod):
        path = next(lod.glob("RAW?[dD]ark/42.png"))
        path.write_bytes(path.read_bytes()[:200])
        with pytest.raises(UserError, match=r"42\.png"):
            load_scenes(f"lod:{lod}", "test", 99, 30).batch([0])

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda root: (root / "val.txt").unlink(), r"no list val\.txt; expected RAW-dark"),
            (lambda root: (root / "val.txt").write_text(""), "has no test images; expected RAW-dark"),
            (lambda root: next(root.glob("RGB?[dD]ark")).rename(root / "x"), "no folder RGB-dark; expected"),
        ],
    )
    def test_a_wrong_layout_is_named(self, lod, damage, message):
        damage(lod)
        with pytest.raises(UserError, match=message):
            check_data(f"lod:{lod}")


@pytest.fixture
def lis(tmp_path, monkeypatch):
    monkeypatch.setenv("ISP_GYM_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "LIS"
    (root / "annotations").mkdir(parents=True)
    for split, numbers in SHOTS.items():
        for light, suffix in (("dark", "+1"), ("normal", "")):
            shots = [n for n in numbers if light_of(n) == light]
            for n in shots:
                write_raw(root / f"RAW-{light}/JPEGImages/{n}.png", n)
                write_jpeg(root / f"RGB-{light}/JPEGImages/{n}.JPG", 100 + n)
            images = [{"id": n, "file_name": f"{n}.png", "width": 30, "height": 20} for n in shots]
            square = [6, 4, 12, 4, 12, 10, 6, 10]
            objects = [
                {"id": n, "image_id": n, "category_id": 2, "bbox": [6, 4, 6, 6], "segmentation": [square], "iscrowd": 0}
                for n in shots
            ]
            categories = [{"id": 1, "name": "bicycle"}, {"id": 2, "name": "chair"}]
            content = {"images": images, "annotations": objects, "categories": categories}
            (root / "annotations" / f"lis_coco_png_{split}{suffix}.json").write_text(json.dumps(content))
    return root


class TestLIS:
    @pytest.mark.parametrize(("source", "count"), [("lis", 3), ("lis-normal", 3), ("lis-all", 6)])
    def test_parts(self, lis, source, count):
        assert len(load_scenes(f"{source}:{lis}", "test", 99, 30)) == count
        rest = [set(load_scenes(f"{source}:{lis}", split, 99, 30).photos) for split in ("train", "validation")]
        assert sum(map(len, rest)) == len(rest[0] | rest[1]) == 20 * count // 3

    def test_masks_and_coco_ids(self, lis):
        scene = load_scenes(f"lis:{lis}", "test", 99, 30)[0]
        assert [COCO_CLASSES[label] for label in scene.objects.labels] == ["chair"]
        assert scene.objects.boxes.tolist() == [[6, 9, 12, 15]]
        assert scene.objects.masks.shape == (1, 30, 30) and 30 <= scene.objects.masks.sum() <= 49
        assert scene.camera is not None and scene.target is None

    def test_the_annotations_of_the_jpegs_will_do(self, lis):
        before = load_scenes(f"lis:{lis}", "test", 99, 30)
        for path in list((lis / "annotations").iterdir()):
            text = path.read_text().replace(".png", ".JPG")
            path.with_name(path.name.replace("png", "JPG")).write_text(text)
            path.unlink()
        after = load_scenes(f"lis:{lis}", "test", 99, 30)
        assert after.ids == before.ids and (after.images == before.images).all()

    def test_traintest_is_not_taken_for_a_split(self, lis):
        whole = (lis / "annotations/lis_coco_png_train+1.json").read_text()
        (lis / "annotations/lis_coco_png_traintest+1.json").write_text(whole)
        assert len(load_scenes(f"lis:{lis}", "test", 99, 30)) == 3

    def test_a_class_that_coco_has_not_is_named(self, lis):
        path = lis / "annotations/lis_coco_png_test+1.json"
        path.write_text(path.read_text().replace('"chair"', '"throne"'))
        with pytest.raises(UserError, match=r"lis_coco_png_test\+1\.json: unknown COCO class 'throne'"):
            check_data(f"lis:{lis}")

    def test_a_missing_annotation_file(self, lis):
        (lis / "annotations/lis_coco_png_test+1.json").unlink()
        with pytest.raises(UserError, match=r"no annotations/lis_coco_png_test\+1\.json; expected"):
            check_data(f"lis:{lis}")

    def test_a_missing_camera_jpeg_is_named(self, lis):
        (lis / "RGB-dark/JPEGImages/42.JPG").unlink()
        with pytest.raises(UserError, match=r"there is no .*42\.JPG"):
            load_scenes(f"lis:{lis}", "test", 99, 30)


class TestCocoClasses:
    def test_there_are_eighty(self):
        assert len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80

    @pytest.mark.parametrize(
        ("name", "label"), [("person", 0), ("tvmonitor", 62), ("Motorbike", 3), ("dining_table", 60), ("79", 79)]
    )
    def test_names_of_others(self, name, label):
        assert coco_class(name) == label

    def test_the_nearest_is_suggested(self):
        with pytest.raises(UserError, match="did you mean 'bottle'"):
            coco_class("botle")
