import numpy as np
import pytest
from PIL import Image

from isp_gym.data import check_data, load_scenes
from isp_gym.data.readers.photos import read_size
from isp_gym.errors import UserError

SIZE = (60, 40)  # width, height: letterboxed to 30, the image is 30 x 20 with 5 black rows above and below
BOX = "1 0.5 0.5 0.333333 0.5\n"  # 20 to 40 and 10 to 30 in pixels
POLYGON = "0 0.333333 0.25 0.666667 0.25 0.666667 0.75 0.333333 0.75\n"
COUNTS = {"train": 20, "val": 4, "test": 3}


def photo(path, seed=0, size=SIZE, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(60, 200, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def yolo(tmp_path):
    root = tmp_path / "mine"
    for split, count in COUNTS.items():
        (root / "labels" / split).mkdir(parents=True)
        for i in range(count):
            photo(root / "images" / split / f"{split}{i:02}.jpg", i)
            (root / "labels" / split / f"{split}{i:02}.txt").write_text(BOX)
    describe(root)
    return root


def describe(root, text="train: images/train\nval: images/val\ntest: images/test\n", names="[dog, lamp]"):
    (root / "data.yaml").write_text(f"{text}names: {names}\n")


def label(root, text):
    (root / "labels/test/test00.txt").write_text(text)


def load(root, split="test", **options):
    return load_scenes(f"yolo:{root}", split, 99, 30, **options)


class TestObjects:
    def test_boxes_are_parts_of_the_photos_size(self, yolo):
        scene = load(yolo)[0]
        assert scene.objects.boxes.tolist() == [pytest.approx([10, 10, 20, 20], abs=1e-4)]
        assert scene.objects.classes == ("dog", "lamp") and scene.objects.labels.tolist() == [1]
        assert scene.objects.masks is None
        assert scene.target[:, 5:25].mean() > 0.4 > 0.2 > scene.image[:, 5:25].mean()

    def test_polygons_are_masks(self, yolo):
        label(yolo, POLYGON)
        objects = load(yolo)[0].objects
        assert objects.boxes.tolist() == [pytest.approx([10, 10, 20, 20], abs=1e-4)]
        mask = objects.masks[0]
        assert mask.sum() == mask[10:20, 10:20].sum() == 100

    def test_an_empty_file_is_a_photo_without_objects(self, yolo):
        label(yolo, "\n")
        assert len(load(yolo)[0].objects) == 0

    def test_photos_without_a_file_have_no_objects_either_and_are_counted(self, yolo):
        (yolo / "labels/test/test00.txt").unlink()
        with pytest.warns(UserWarning, match="1 of 3 test photos have no label file: they count as without") as caught:
            scenes = load(yolo)
        assert len(caught) == 1 and [len(scene.objects) for scene in scenes] == [0, 1, 1]

    def test_an_upright_photo_has_upright_labels(self, yolo):
        exif = Image.Exif()
        exif[274] = 6
        photo(yolo / "images/test/test00.jpg", size=(40, 60), exif=exif)
        assert load(yolo)[0].objects.boxes.tolist() == [pytest.approx([10, 10, 20, 20], abs=1e-4)]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("1 0.5 0.5 0.3\n", "line 1 has 4 numbers, not a class with a box"),
            ("1 0.5 0.5 0.3 0.3 0.9\n", "line 1 has 6 numbers"),
            (BOX + "0 0.1 0.1 0.2 0.2 0.3 0.3 0.4\n", "line 2 has 8 numbers"),
            ("2 0.5 0.5 0.3 0.3\n", "line 1 names class 2, but there are 2, counted from 0"),
            ("-1 0.5 0.5 0.3 0.3\n", "line 1 names class -1"),
            ("0.5 0.5 0.5 0.3 0.3\n", "line 1 names class 0.5"),
            ("dog 0.5 0.5 0.3 0.3\n", "line 1 holds something else than numbers"),
            ("1 nan 0.5 0.3 0.3\n", "line 1 has a number far outside"),
            ("1 30 20 20 20\n", "line 1 has a number far outside"),
            ("1 0.9 0.5 0.4 0.3\n", "the box .* reaches more than 2 pixels outside the image of 60 x 40"),
            ("1 0.5 0.5 0 0.3\n", "the box .* has no area"),
            ("1 0.5 0.5 -0.1 0.3\n", "the box .* has no area"),
            (BOX + POLYGON, r"some objects in 'images/test/test00\.jpg' have a mask and others have none"),
            ("0 0.1 0.1 0.2 0.2 0.3 1.1\n", "the box .* reaches more than 2 pixels outside"),
        ],
    )
    def test_an_impossible_line_is_named_or_its_photo_skipped(self, yolo, text, message):
        label(yolo, text)
        with pytest.raises(UserError, match=rf"test00\.txt: .*{message}"):
            load(yolo)
        with pytest.warns(UserWarning, match=rf"skipped 1 of 3 test files; the first: .*{message}") as caught:
            assert len(load(yolo, on_error="skip")) == 2
        assert len(caught) == 1

    def test_a_line_that_is_no_text(self, yolo):
        (yolo / "labels/test/test00.txt").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(UserError, match=r"test00\.txt: it is no label file"):
            load(yolo)


class TestLayouts:
    @pytest.mark.parametrize("file", ["", "/data.yaml"])
    def test_a_folder_or_its_file(self, yolo, file):
        splits = {split: load(f"{yolo}{file}", split).photos for split in ("train", "validation", "test")}
        assert [len(photos) for photos in splits.values()] == [20, 4, 3]
        assert splits["validation"][0] == "images/val/val00.jpg"

    def test_without_a_test_entry_val_is_the_test(self, yolo):
        describe(yolo, "train: images/train\nval: images/val\n")
        assert len(load(yolo)) == 4
        assert len(load(yolo, "train")) + len(load(yolo, "validation")) == 20

    def test_names_by_number(self, yolo):
        describe(yolo, names="{0: dog, 1: lamp}")
        assert load(yolo)[0].objects.classes == ("dog", "lamp")

    @pytest.mark.parametrize("path", ["{root}", "../mine", "/was/once/here", "."])
    def test_where_paths_start_from(self, yolo, path):
        text = f"path: {path.format(root=yolo)}\ntrain: images/train\nval: images/val\ntest: images/test\n"
        describe(yolo, text)
        assert load(yolo).photos[0] == "images/test/test00.jpg"

    def test_several_folders_and_paths_as_in_exports(self, yolo):
        describe(yolo, "train: [../images/train, images/val]\nval: images/test\n")
        assert len(load(yolo, "train")) + len(load(yolo, "validation")) == 24 and len(load(yolo)) == 3

    def test_a_list_of_files(self, yolo):
        (yolo / "few.txt").write_text("./images/test/test02.jpg\nimages/test/test00.jpg\n")
        describe(yolo, "train: images/train\nval: images/val\ntest: few.txt\n")
        assert load(yolo).photos == ("images/test/test02.jpg", "images/test/test00.jpg")

    def test_labels_beside_the_photos_where_no_folder_is_called_images(self, yolo):
        for split in COUNTS:
            (yolo / "images" / split).rename(yolo / split)
            for path in (yolo / "labels" / split).iterdir():
                path.rename(yolo / split / path.name)
        describe(yolo, "train: train\nval: val\ntest: test\n")
        assert len(load(yolo)[0].objects) == 1

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda root: (root / "data.yaml").unlink(), "mine has no YAML file; give data=yolo:FILE"),
            (lambda root: (root / "b.yaml").write_text(""), r"has b\.yaml, data\.yaml; give data=yolo:FILE"),
            (lambda root: (root / "data.yaml").write_text("names: [a"), r"data\.yaml' cannot be read"),
            (lambda root: (root / "data.yaml").write_text("[]"), r"data\.yaml' must be a mapping"),
            (lambda root: describe(root, names="[]"), r"data\.yaml must name its classes from 0 on"),
            (lambda root: describe(root, names="{1: dog, 2: lamp}"), r"data\.yaml must name its classes from 0 on"),
            (lambda root: describe(root, "train: images/train\n"), r"data\.yaml says nothing of 'val'; expected"),
            (lambda root: describe(root, "train: images/a\nval: images/val\n"), "names images/a, which is not at"),
            (lambda root: describe(root, "train: images/val\nval: images/val\n"), "in two splits, train and test"),
            (lambda root: describe(root, "kpt_shape: [3, 2]\ntrain: images/train\nval: images/val\n"), "is of poses"),
            (
                lambda root: (root / "labels").rename(root / "x"),
                r"none of the 20 train photos has a label file such as",
            ),
        ],
    )
    def test_a_wrong_layout_is_named(self, yolo, damage, message):
        damage(yolo)
        with pytest.raises(UserError, match=message):
            check_data(f"yolo:{yolo}")

    def test_nothing_there(self):
        with pytest.raises(UserError, match="/nowhere has no YAML file"):
            check_data("yolo:/nowhere")

    def test_a_listed_photo_that_is_missing_is_named_or_skipped(self, yolo):
        (yolo / "few.txt").write_text("images/test/test02.jpg\nimages/test/gone.jpg\n")
        describe(yolo, "train: images/train\nval: images/val\ntest: few.txt\n")
        (yolo / "labels/test/gone.txt").write_text(BOX)
        with pytest.raises(UserError, match=r"cannot use photo .*gone\.jpg: it is missing"):
            load(yolo)
        with pytest.warns(UserWarning, match=r"skipped 1 of 2 test files; .*gone\.jpg"):
            assert len(load(yolo, on_error="skip")) == 1

    def test_a_labelled_photo_of_another_kind_is_no_silent_loss(self, yolo):
        Image.new("RGB", SIZE).save(yolo / "images/test/test03.webp")
        assert len(load(yolo)) == 3
        (yolo / "labels/test/test03.txt").write_text(BOX)
        with pytest.raises(UserError, match=r"test03\.webp: it is not a JPEG, PNG or TIFF file"):
            assert len(load(yolo).images)

    def test_a_changed_label_file_is_noticed(self, yolo):
        assert len(load(yolo)[0].objects) == 1
        label(yolo, BOX + BOX)
        assert len(load(yolo)[0].objects) == 2


class TestReadSize:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("kind", ["jpg", "png", "tif"])
    def test_it_is_that_of_the_upright_photo(self, tmp_path, kind, orientation):
        from isp_gym.data.readers.photos import read_photo

        exif = Image.Exif()
        exif[274] = orientation
        options = {"tiffinfo": exif} if kind == "tif" else {"exif": exif}
        photo(tmp_path / f"a.{kind}", **options)
        height, width, _ = read_photo(tmp_path / f"a.{kind}").shape
        assert read_size(tmp_path / f"a.{kind}") == (width, height)

    def test_a_deep_png_is_not_decoded(self, tmp_path, png, deep):
        (tmp_path / "a.png").write_bytes(png(deep)[:60])
        assert read_size(tmp_path / "a.png") == (9, 6)
