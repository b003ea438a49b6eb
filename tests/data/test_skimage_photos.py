import hashlib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from skimage.data import data_dir

from isp_gym.data import SOURCES, SPLITS, check_data, load_scenes, skimage_photos
from isp_gym.data.photos import read_photo
from isp_gym.data.skimage_photos import PHOTOS
from isp_gym.errors import UserError

SOURCE = SOURCES["skimage"]


@pytest.fixture
def _elsewhere(monkeypatch, tmp_path):
    """Another folder of photos in place of scikit-image's, with the same files to begin with."""
    for photos in PHOTOS.values():
        for name in photos:
            (tmp_path / name).symlink_to(Path(data_dir) / name)
    monkeypatch.setattr(skimage_photos, "data_dir", str(tmp_path))


def test_splits_are_disjoint_by_photo_and_by_content():
    names = [name for split in SPLITS for name in PHOTOS[split]]
    digests = [digest for split in SPLITS for digest in PHOTOS[split].values()]
    assert len(names) == len(set(names)) == len(set(digests)) == 8
    assert all(PHOTOS[split] for split in SPLITS)


@pytest.mark.parametrize("split", SPLITS)
def test_scenes_come_from_the_photos_of_their_split(split):
    assert set(load_scenes(split=split, count=12, image_size=8).photos) == set(PHOTOS[split])


def test_the_stereo_pair_stays_in_one_split():
    owners = {split for split, photos in PHOTOS.items() for name in photos if name.startswith("motorcycle")}
    assert len(owners) == 1
    assert {"motorcycle_left.png", "motorcycle_right.png"} <= set(PHOTOS[owners.pop()])


@pytest.mark.parametrize("name", [name for photos in PHOTOS.values() for name in photos])
def test_every_photo_is_in_colour_and_large_enough(name):
    pixels = read_photo(Path(data_dir) / name)
    assert min(pixels.shape[:2]) >= 256
    assert pixels.dtype == np.uint8
    assert abs(pixels[..., 0].astype(int) - pixels[..., 2]).mean() > 1


def test_recorded_digests_are_those_of_the_files():
    for photos in PHOTOS.values():
        for name, digest in photos.items():
            assert hashlib.sha256((Path(data_dir) / name).read_bytes()).hexdigest() == digest


@pytest.mark.usefixtures("_elsewhere")
class TestCheck:
    def test_complete(self):
        check_data("skimage")
        assert len(SOURCE.photos("", "train")) == 5

    def test_a_missing_photo_is_named(self, tmp_path):
        (tmp_path / "coffee.png").unlink()
        with pytest.raises(UserError, match=r"does not carry the photo coffee\.png .*scikit-image 0\.22.*folder:PATH"):
            check_data("skimage")
        with pytest.raises(UserError, match=r"coffee\.png"):
            SOURCE.photos("", "train")

    def test_another_photo_under_its_name(self, tmp_path):
        (tmp_path / "coffee.png").unlink()
        (tmp_path / "coffee.png").write_bytes((Path(data_dir) / "chelsea.png").read_bytes())
        with pytest.raises(UserError, match=r"carries another photo coffee\.png"):
            check_data("skimage")


def test_it_says_whose_photos_they_are():
    row = SOURCE.describe()
    assert row["name"] == "skimage"
    assert metadata.version("scikit-image") in row["version"]
    assert "CC0" in row["licence"]
