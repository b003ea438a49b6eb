import json

import numpy as np
import pytest
import tifffile

from isp_gym.data import check_data, load_scenes
from isp_gym.data.colour import linear_prophoto_to_srgb, prophoto_to_linear
from isp_gym.errors import UserError

SPLITS = {"training": ["a0001", "a0003", "a0004"], "validation": ["a0002"], "testing": ["a0005"]}


def encode(srgb: float) -> float:
    """A grey of sRGB as ProPhoto RGB: white is white in both, so only the transfer functions differ."""
    linear = ((srgb + 0.055) / 1.055) ** 2.4
    return linear ** (1 / 1.8)


def ramp(height, width):
    """Linear camera RGB that differs from left to right."""
    return np.repeat(np.linspace(0.1, 0.9, width)[None, :, None], height, 0).repeat(3, 2)


def put_twice(root):
    (root / "raw/Nikon").mkdir()
    (root / "raw/Nikon/a0001.dng").write_bytes((root / "raw/Canon/a0001.dng").read_bytes())


@pytest.fixture
def fivek(tmp_path, monkeypatch, write_dng):
    """The common layout, with a small difference of framing as in the archive."""
    monkeypatch.setenv("ISP_GYM_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "fivek"
    (root / "raw" / "Canon").mkdir(parents=True)
    for expert, grey in (("c", 0.5), ("a", 0.8)):
        (root / "processed" / f"tiff16_{expert}").mkdir(parents=True)
        for i, name in enumerate(name for names in SPLITS.values() for name in names):
            write_dng(root / "raw" / "Canon" / f"{name}.dng", ramp(64, 96))
            level = round(65535 * encode(grey + 0.02 * i))
            pixels = np.full((62, 94, 3), level, np.uint16)
            tifffile.imwrite(root / "processed" / f"tiff16_{expert}" / f"{name}.tif", pixels, photometric="rgb")
    for name, members in SPLITS.items():
        (root / f"{name}.json").write_text(json.dumps({member: {"basename": member} for member in members}))
    return root


class TestProPhoto:
    def test_grey_stays_grey(self):
        greys = np.linspace(0.05, 1, 20)
        srgb = linear_prophoto_to_srgb(prophoto_to_linear(np.array([encode(g) for g in greys]))[:, None].repeat(3, 1))
        np.testing.assert_allclose(srgb, greys[:, None].repeat(3, 1), atol=2e-4)

    def test_the_primaries_of_srgb_lie_inside(self):
        # sRGB red, green and blue in linear ProPhoto RGB (Lindbloom's matrices, D65 adapted to D50).
        inside = np.array([[0.5292, 0.0983, 0.0169], [0.3301, 0.8735, 0.1177], [0.1407, 0.0283, 0.8657]])
        np.testing.assert_allclose(linear_prophoto_to_srgb(inside), np.eye(3), atol=0.03)

    def test_the_toe_is_continuous(self):
        below, above = prophoto_to_linear(np.array([16 / 512 - 1e-6, 16 / 512 + 1e-6]))
        assert above - below < 1e-4 and below > 0


class TestFiveK:
    def test_splits_are_the_listed_ones(self, fivek):
        for split, name in (("train", "training"), ("validation", "validation"), ("test", "testing")):
            assert load_scenes(f"fivek:{fivek}", split, 99, 16).ids == tuple(f"{split}/{n}" for n in SPLITS[name])

    @pytest.mark.parametrize(("source", "grey"), [("fivek", 0.5), ("fivek-a", 0.8)])
    def test_targets_are_the_experts_in_srgb(self, fivek, source, grey):
        batch = load_scenes(f"{source}:{fivek}", "train", 9, 16).batch(range(3))
        means = batch.targets.mean((1, 2, 3)).tolist()
        assert means == pytest.approx([grey, grey + 0.02, grey + 0.04], abs=2e-3)

    def test_input_is_linear_and_framed_like_the_target(self, fivek):
        image = load_scenes(f"fivek:{fivek}", "test", 1, 16)[0].image
        columns = image.mean((0, 1))
        middle = np.linspace(0.1, 0.9, 96)[16:80].reshape(16, 4).mean(1)
        np.testing.assert_allclose(columns[2:-2], middle[2:-2], atol=5e-3)

    def test_sixteen_bits_are_kept(self, fivek):
        shades = (np.arange(62 * 94 * 3) % 700 + 20000).astype(np.uint16).reshape(62, 94, 3)
        tifffile.imwrite(fivek / "processed/tiff16_c/a0005.tif", shades, photometric="rgb")
        target = load_scenes(f"fivek:{fivek}", "test", 1, 62)[0].target
        assert len(target.unique()) > 256

    def test_the_original_archive(self, fivek):
        (fivek / "raw_photos" / "HQa1to700").mkdir(parents=True)
        (fivek / "raw" / "Canon").rename(fivek / "raw_photos" / "HQa1to700" / "photos")
        (fivek / "processed" / "tiff16_c").rename(fivek / "tiff16_c")
        names = [f"b{i:04}" for i in range(30)]
        for name in names:
            (fivek / "raw_photos/HQa1to700/photos" / f"{name}.dng").symlink_to("a0001.dng")
            (fivek / "tiff16_c" / f"{name}.tif").symlink_to("a0001.tif")
        for name in SPLITS:
            (fivek / f"{name}.json").unlink()
        splits = [load_scenes(f"fivek:{fivek}", split, 99, 16).ids for split in ("train", "validation", "test")]
        assert sum(map(len, splits)) == 35 and len(splits[0]) > len(splits[1])

    @pytest.mark.parametrize(
        ("damage", "message"),
        [
            (lambda root: (root / "testing.json").write_text("{"), r"cannot use .*testing\.json"),
            (lambda root: (root / "testing.json").unlink(), r"cannot use .*testing\.json"),
            (lambda root: (root / "validation.json").write_text("{}"), "no validation photos"),
            (lambda root: (root / "testing.json").write_text('["a0001"]'), "in two splits, train and test"),
            (lambda root: (root / "testing.json").write_text('["a0005", "a0005"]'), "lists a0005 2 times"),
            (lambda root: put_twice(root), r"Canon/a0001\.dng and .*Nikon/a0001\.dng have the same name"),
            (lambda root: (root / "raw").rename(root / "RAW"), r"holds no inputs; expected raw/CAMERA/NAME\.dng"),
            (lambda root: (root / "processed").rename(root / "x"), "no TIFF files of Expert C; expected"),
        ],
    )
    def test_a_wrong_layout_is_named(self, fivek, damage, message):
        damage(fivek)
        with pytest.raises(UserError, match=message):
            check_data(f"fivek:{fivek}")

    @pytest.mark.parametrize(
        ("file", "message"),
        [
            ("raw/Canon/a0003.dng", "lacks the DNG of a0003"),
            ("processed/tiff16_c/a0003.tif", "lacks the expert's TIFF of a0003"),
        ],
    )
    def test_a_missing_half_of_a_pair(self, fivek, file, message):
        (fivek / file).unlink()
        with pytest.raises(UserError, match=message):
            load_scenes(f"fivek:{fivek}", "train", 9, 16)
        with pytest.warns(UserWarning, match=f"skipped 1 of 3 train files; the first: .*{message}"):
            assert len(load_scenes(f"fivek:{fivek}", "train", 9, 16, on_error="skip")) == 2

    @pytest.mark.parametrize("file", ["raw/Canon/a0003.dng", "processed/tiff16_c/a0003.tif"])
    def test_a_truncated_half_of_a_pair(self, fivek, file):
        data = (fivek / file).read_bytes()
        (fivek / file).write_bytes(data[: len(data) // 2])
        scenes = load_scenes(f"fivek:{fivek}", "train", 9, 16)
        with pytest.raises(UserError, match=rf"cannot use .*{file}: it is truncated"):
            scenes.batch(range(3))
        with pytest.warns(UserWarning, match=rf"skipped 1 of 3 train files; the first: .*{file}"):
            assert load_scenes(f"fivek:{fivek}", "train", 9, 16, on_error="skip").photos == ("a0001", "a0004")

    def test_a_target_of_another_photo(self, fivek):
        tifffile.imwrite(fivek / "processed/tiff16_c/a0005.tif", np.zeros((94, 62, 3), np.uint16), photometric="rgb")
        with pytest.raises(UserError, match="do not show the same photo"):
            load_scenes(f"fivek:{fivek}", "test", 1, 16).batch([0])

    def test_a_missing_folder(self):
        with pytest.raises(UserError, match="FiveK folder /nowhere does not exist"):
            check_data("fivek:/nowhere")
