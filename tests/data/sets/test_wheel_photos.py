import hashlib
from importlib import metadata

import numpy as np
import pytest

from isp_gym.data import SOURCES, SPLITS, check_data, data_card, load_scenes
from isp_gym.data.readers.photos import read_photo
from isp_gym.data.sets import wheel_photos
from isp_gym.data.sets.wheel_photos import PHOTOS, SCIKIT_IMAGE
from isp_gym.errors import UserError

NAMES = ["photos", "skimage"]


@pytest.fixture
def packages(monkeypatch, tmp_path):
    """Other packages in place of those that are installed, with the same files to begin with."""
    for photo in PHOTOS:
        path = tmp_path / photo.wheel.package / photo.wheel.folder / photo.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(wheel_photos._path(photo))
    monkeypatch.setattr(wheel_photos, "_root", lambda p: tmp_path / p if (tmp_path / p).is_dir() else None)
    return tmp_path


class TestTable:
    def test_no_photo_is_in_twice(self):
        assert len(PHOTOS) == len({photo.name for photo in PHOTOS}) == len({photo.sha256 for photo in PHOTOS}) == 11

    def test_enough_to_judge_by(self):
        by_split = {split: {photo.name for photo in PHOTOS if photo.split == split} for split in SPLITS}
        assert by_split["test"] == {"chelsea.png", "coffee.png", "china.jpg"}
        assert by_split["validation"] == {"astronaut.png", "flower.jpg"}
        assert {"motorcycle_left.png", "motorcycle_right.png", "ihc.png", "retina.jpg"} < by_split["train"]
        assert sum(map(len, by_split.values())) == len(PHOTOS)

    @pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.name)
    def test_every_photo_is_in_colour_and_large_enough_and_has_its_digest(self, photo):
        path = wheel_photos._path(photo)
        pixels = read_photo(path)
        assert min(pixels.shape[:2]) >= 256 and pixels.dtype == np.uint8
        assert abs(pixels[..., 0].astype(int) - pixels[..., 2]).mean() > 1
        assert hashlib.sha256(path.read_bytes()).hexdigest() == photo.sha256


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("split", SPLITS)
def test_scenes_come_from_the_photos_of_their_split(name, split):
    expected = {p.name for p in PHOTOS if p.split == split and (name == "photos" or p.wheel is SCIKIT_IMAGE)}
    assert set(load_scenes(name, split=split, count=12, image_size=8).photos) == expected


def test_skimage_means_the_eight_photos_in_their_old_order():
    photos = [load_scenes("skimage", split, 5, 8).photos for split in SPLITS]
    train = ("rocket.jpg", "motorcycle_left.png", "ihc.png", "retina.jpg", "motorcycle_right.png")
    assert photos[0] == train
    assert [set(names) for names in photos[1:]] == [{"astronaut.png"}, {"chelsea.png", "coffee.png"}]


@pytest.mark.parametrize("name", NAMES)
class TestCheck:
    def test_complete(self, packages, name):
        check_data(name)
        assert len(SOURCES[name].photos("", "test")) == (3 if name == "photos" else 2)

    def test_a_missing_photo_is_named(self, packages, name):
        (packages / "skimage/data/coffee.png").unlink()
        with pytest.raises(UserError, match=r"does not carry the photo coffee\.png .*scikit-image 0\.22.*folder:PATH"):
            check_data(name)
        with pytest.raises(UserError, match=r"coffee\.png"):
            SOURCES[name].photos("", "train")

    def test_another_photo_under_its_name(self, packages, name):
        path = packages / "skimage/data/coffee.png"
        path.unlink()
        path.write_bytes((packages / "skimage/data/chelsea.png").read_bytes())
        with pytest.raises(UserError, match=r"carries another photo coffee\.png"):
            check_data(name)

    def test_a_package_that_is_missing(self, packages, name, monkeypatch):
        (packages / "sklearn").rename(packages / "moved")
        if name == "skimage":
            check_data(name)
            return
        with pytest.raises(
            UserError, match=r"needs scikit-learn, which is not installed.*install scikit-learn 1\.3 to"
        ):
            load_scenes(name)
        monkeypatch.setattr(wheel_photos.metadata, "version", lambda _: (_ for _ in ()).throw(PackageNotFound()))
        assert "scikit-learn (not installed)" in SOURCES[name].version()


class PackageNotFound(metadata.PackageNotFoundError):
    pass


def test_it_says_whose_photos_they_are():
    row = SOURCES["photos"].describe()
    for wheel in ("scikit-image", "scikit-learn", "matplotlib"):
        assert f"{wheel} {metadata.version(wheel)}" in row["version"]
    assert "CC0" in row["licence"] and "CC BY 2.0" in row["licence"]
    card = data_card(load_scenes("photos", split, 3, 8) for split in ("validation", "test"))
    assert len(card["credits"]) == 5 and card["credits"]["china.jpg"].startswith("CC BY 2.0, danielbuechele")
    assert "credits" not in data_card([load_scenes("synthetic", "test", 1, 8)])
