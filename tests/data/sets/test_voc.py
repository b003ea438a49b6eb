import math

import numpy as np
import pytest
from PIL import Image

from isp_gym.data import check_data, load_scenes
from isp_gym.data.sets.voc import VOC_CLASSES
from isp_gym.errors import UserError

SIZE = (60, 40)  # width, height: letterboxed to 30, the image is 30 x 20 with 5 black rows above and below
LISTS = {"train": range(30), "val": range(30, 34), "test": range(34, 38)}


def found(name="dog", box=(21, 11, 40, 30), difficult=0):
    corners = "".join(f"<{c}>{v}</{c}>" for c, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"


def xml(*objects, size=SIZE):
    shown = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>x.jpg</filename>{shown}{''.join(objects)}</annotation>"


@pytest.fixture
def voc(tmp_path):
    root = tmp_path / "VOC2012"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for split, numbers in LISTS.items():
        for n in numbers:
            pixels = np.random.default_rng(n).integers(60, 200, (SIZE[1], SIZE[0], 3), np.uint8)
            Image.fromarray(pixels).save(root / "JPEGImages" / f"{n:06}.jpg")
            (root / "Annotations" / f"{n:06}.xml").write_text(xml(found()))
        (root / "ImageSets/Main" / f"{split}.txt").write_text("".join(f"{n:06}\n" for n in numbers))
    (root / "ImageSets/Main/dog_train.txt").write_text("000001 -1\n")  # VOC's lists of classes
    return root


def numbers(root, split):
    return [int(photo) for photo in load_scenes(f"voc:{root}", split, 99, 30).photos]


def annotate(root, *objects, **options):
    (root / "Annotations/000034.xml").write_text(xml(*objects, **options))


class TestSplits:
    def test_three_lists_are_the_splits(self, voc):
        for split, name in (("train", "train"), ("validation", "val"), ("test", "test")):
            assert numbers(voc, split) == list(LISTS[name])

    def test_without_a_test_list_val_is_the_test(self, voc):
        (voc / "ImageSets/Main/test.txt").unlink()
        assert numbers(voc, "test") == list(LISTS["val"])
        train, validation = numbers(voc, "train"), numbers(voc, "validation")
        assert sorted(train + validation) == list(LISTS["train"]) and 1 <= len(validation) < 10

    def test_trainval_and_test_alone(self, voc):
        (voc / "ImageSets/Main/train.txt").rename(voc / "ImageSets/Main/trainval.txt")
        (voc / "ImageSets/Main/val.txt").unlink()
        assert numbers(voc, "test") == list(LISTS["test"])
        assert sorted(numbers(voc, "train") + numbers(voc, "validation")) == list(LISTS["train"])

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda root: (root / "ImageSets/Main/val.txt").unlink(), r"there is no .*Main/val\.txt; expected JPEG"),
            (lambda root: (root / "ImageSets/Main/test.txt").write_text("\n"), "no test images; expected JPEGImages"),
            (lambda root: (root / "ImageSets/Main/test.txt").write_text("000001\n"), "in two splits, train and test"),
            (lambda root: (root / "ImageSets/Main/test.txt").write_text("000034\n" * 2), "lists 000034 2 times"),
        ],
    )
    def test_a_wrong_layout_is_named(self, voc, damage, message):
        damage(voc)
        with pytest.raises(UserError, match=message):
            check_data(f"voc:{voc}")

    def test_a_missing_folder(self):
        with pytest.raises(UserError, match="the folder /nowhere does not exist; give it with data=voc:PATH"):
            check_data("voc:/nowhere")


class TestObjects:
    def test_boxes_classes_and_photo(self, voc):
        scene = load_scenes(f"voc:{voc}", "test", 99, 30)[0]
        assert scene.objects.boxes.tolist() == [[10, 10, 20, 20]]  # counted from 1 in the file, and 5 rows lower here
        assert scene.objects.classes == VOC_CLASSES and len(VOC_CLASSES) == 20
        assert [VOC_CLASSES[label] for label in scene.objects.labels] == ["dog"]
        assert scene.objects.masks is None and scene.camera is None
        assert scene.target[:, 5:25].mean() > 0.4 > 0.2 > scene.image[:, 5:25].mean()

    def test_other_names_are_classes_of_their_own(self, voc):
        annotate(voc, found("lamp"), found("dog"))
        objects = load_scenes(f"voc:{voc}", "test", 99, 30)[0].objects
        assert objects.classes == ("dog", "lamp") and objects.labels.tolist() == [1, 0]
        assert load_scenes(f"voc:{voc}", "train", 1, 30)[0].objects.classes == ("dog", "lamp")

    def test_difficult_objects_are_neither_found_nor_missed(self, voc):
        annotate(voc, found(), found(difficult=1))
        assert load_scenes(f"voc:{voc}", "test", 99, 30)[0].objects.crowd.tolist() == [False, True]

    def test_no_objects_is_a_fair_annotation(self, voc):
        annotate(voc)
        assert len(load_scenes(f"voc:{voc}", "test", 99, 30)[0].objects) == 0

    def test_boxes_that_are_counted_from_0_overhang_by_a_pixel(self, voc):
        annotate(voc, found(box=(0, 0, 60, 40)))
        assert load_scenes(f"voc:{voc}", "test", 99, 30)[0].objects.boxes.tolist() == [[0, 5, 30, 25]]

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (
                lambda root: (root / "Annotations/000034.xml").unlink(),
                r"000034\.xml: No such file.*needs its annotation",
            ),
            (lambda root: (root / "Annotations/000034.xml").write_text(""), r"000034\.xml: it is no Pascal VOC"),
            (lambda root: (root / "Annotations/000034.xml").write_text("<annotation/>"), r"34\.xml: .*it has no size"),
            (lambda root: annotate(root, found(name="")), r"34\.xml: .*it has no name"),
            (lambda root: annotate(root, "<object><name>dog</name></object>"), r"34\.xml: .*it has no bndbox"),
            (lambda root: annotate(root, found(box=("a", 1, 2, 3))), r"34\.xml: it is no Pascal VOC.*'a'"),
            (
                lambda root: annotate(root, found(box=(90, 5, 99, 9))),
                r"34\.xml: of a dog in '000034', the box .*no area",
            ),
            (lambda root: annotate(root, found(box=(9, 9, 8, 8))), r"34\.xml: .*no area"),
            (lambda root: annotate(root, found(box=(math.nan, 9, 18, 18))), r"34\.xml: .*no area"),
            (lambda root: annotate(root, found(box=(9, 9, 64, 18))), r"34\.xml: .*more than 2 pixels outside"),
            (lambda root: annotate(root, size=(0, 0)), r"34\.xml: '000034' has 0 x 0 pixels"),
            (lambda root: (root / "JPEGImages/000034.jpg").unlink(), r"there is no .*000034\.jpg"),
        ],
    )
    def test_a_broken_image_is_named_or_skipped(self, voc, damage, message):
        damage(voc)
        with pytest.raises(UserError, match=message):
            load_scenes(f"voc:{voc}", "test", 99, 30)
        with pytest.warns(UserWarning, match=f"skipped 1 of 4 test files; the first: .*{message}") as caught:
            assert len(load_scenes(f"voc:{voc}", "test", 99, 30, on_error="skip")) == 3
        assert len(caught) == 1

    def test_a_photo_of_another_size(self, voc):
        annotate(voc, size=(40, 60))
        with pytest.raises(UserError, match=r"000034\.jpg: it has 60 x 40 pixels, but .*000034\.xml says 40 x 60"):
            load_scenes(f"voc:{voc}", "test", 99, 30).batch([0])
