import numpy as np
import pytest
import tifffile
import torch

from isp_gym.data import check_data, load_scenes, registry
from isp_gym.data.readers.camera_raw import read_raw
from isp_gym.data.sets import raw
from isp_gym.errors import UserError

LEVELS = (0.10, 0.45, 0.80)


def flat(colour=LEVELS, size=(64, 80)):
    return np.broadcast_to(np.array(colour), (*size, 3))


class TestReadRaw:
    @pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
    @pytest.mark.parametrize("size", [(64, 80), (65, 81), (64, 79), (63, 80)])
    @pytest.mark.parametrize("black", [512, (500, 600, 550, 650)], ids=["one black level", "four"])
    def test_any_bayer_pattern(self, tmp_path, pattern, size, black, write_dng):
        write_dng(tmp_path / "a.dng", flat(size=size), pattern, black)
        pixels = read_raw(tmp_path / "a.dng")
        assert pixels.shape == (*size, 3) and pixels.dtype == np.uint16
        np.testing.assert_allclose(pixels.mean((0, 1)) / 65535, LEVELS, atol=1e-3)

    @pytest.mark.parametrize("black", [512, (500, 600, 550, 650)])
    def test_white_is_one_and_black_is_nothing(self, tmp_path, black, write_dng):
        write_dng(tmp_path / "a.dng", flat((1.0, 0.0, 1.0)), black=black)
        np.testing.assert_allclose(read_raw(tmp_path / "a.dng").mean((0, 1)) / 65535, (1, 0, 1), atol=2e-3)

    @pytest.mark.parametrize("factor", [1 / 16, 1 / 4])
    def test_twice_the_light_is_twice_the_value(self, tmp_path, factor, write_dng):
        write_dng(tmp_path / "bright.dng", flat(), black=(500, 510, 505, 512))
        write_dng(tmp_path / "dark.dng", flat(np.array(LEVELS) * factor), black=(500, 510, 505, 512))
        bright, dark = (read_raw(tmp_path / f"{name}.dng").mean((0, 1)) / 65535 for name in ("bright", "dark"))
        np.testing.assert_allclose(dark, bright * factor, atol=1e-4)

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_it_is_turned_upright(self, tmp_path, orientation, write_dng):
        corner = np.full((40, 60, 3), 0.1)
        corner[:20, :30] = 0.8  # at the top left of what is stored
        write_dng(tmp_path / "a.dng", corner, orientation=orientation)
        bright = read_raw(tmp_path / "a.dng")[..., 1] / 65535 > 0.45
        assert bright.shape == ((60, 40) if orientation > 4 else (40, 60))
        rows, columns = np.array(np.nonzero(bright)).mean(1) / bright.shape < 0.5
        where = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}
        assert ("t" if rows else "b") + ("l" if columns else "r") == where[orientation]

    @pytest.mark.parametrize(("black", "white"), [(0, 4095), (512, 15000), (2048, 65535)])
    def test_black_and_white_level(self, tmp_path, black, white, write_dng):
        rgb = np.repeat(np.linspace(0, 1, 96)[None, :, None], 64, 0).repeat(3, 2)
        write_dng(tmp_path / "a.dng", rgb, black=black, white=white)
        pixels = read_raw(tmp_path / "a.dng")[8:-8, 8:-8] / 65535
        np.testing.assert_allclose(pixels.mean(0), rgb[0, 8:-8], atol=6e-3)

    def test_a_dark_photo_stays_dark(self, tmp_path, write_dng):
        write_dng(tmp_path / "a.dng", flat((0.01, 0.02, 0.01)))
        assert read_raw(tmp_path / "a.dng").max() / 65535 < 0.025

    def test_it_has_more_than_8_bits(self, tmp_path, write_dng):
        rgb = np.repeat(np.linspace(0.1, 0.2, 512)[None, :, None], 64, 0).repeat(3, 2)
        write_dng(tmp_path / "a.dng", rgb)
        assert len(np.unique(read_raw(str(tmp_path / "a.dng"))[32])) > 256

    @pytest.mark.parametrize("content", [b"", b"no photo", b"II*\0" + b"\0" * 60])
    def test_something_else(self, tmp_path, content):
        (tmp_path / "a.dng").write_bytes(content)
        with pytest.raises(UserError, match=r"cannot use RAW file .*a\.dng"):
            read_raw(tmp_path / "a.dng")

    def test_truncated(self, tmp_path, write_dng):
        write_dng(tmp_path / "a.dng", flat())
        data = (tmp_path / "a.dng").read_bytes()
        (tmp_path / "a.dng").write_bytes(data[: len(data) // 2])
        with pytest.raises(UserError, match=r"cannot use RAW file .*a\.dng"):
            read_raw(tmp_path / "a.dng")

    @pytest.mark.parametrize("side", [13_000, 60_000, 100_000])
    def test_one_that_claims_to_be_huge(self, tmp_path, side, write_dng):
        write_dng(tmp_path / "a.dng", flat())
        with tifffile.TiffFile(tmp_path / "a.dng", mode="r+b") as file:
            for tag in (256, 257):
                file.pages.first.tags[tag].overwrite(side)
        with pytest.raises(UserError, match=r"cannot use RAW file .*a\.dng"):
            read_raw(tmp_path / "a.dng")

    def test_missing(self, tmp_path):
        with pytest.raises(UserError, match="no such file"):
            read_raw(tmp_path / "a.dng")


@pytest.fixture
def folder(tmp_path, monkeypatch, write_dng):
    monkeypatch.setenv("ISP_GYM_CACHE", str(tmp_path / "cache"))
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        (tmp_path / "photos" / split).mkdir(parents=True)
        for i in range(count):
            name = f"{split}{i}.dng"
            write_dng(tmp_path / "photos" / split / name, flat((0.1, 0.2 + i / 10, len(split) / 10)))
    return tmp_path / "photos"


class TestRawFiles:
    def test_a_scene_a_file(self, folder):
        scenes = load_scenes(f"raw:{folder}", "train", 100, 32)
        assert len(scenes) == 3 and set(scenes.ids) == {f"train/train{i}.dng" for i in range(3)}
        batch = scenes.batch(range(3))
        assert batch.targets is None and batch.images.shape == (3, 3, 32, 32)
        greens = sorted(batch.images[:, 1].mean((1, 2)).tolist())
        assert greens == pytest.approx([0.2, 0.3, 0.4], abs=3e-3)

    def test_the_second_time_it_comes_from_the_cache(self, folder, tmp_path, monkeypatch):
        spec = f"raw:{folder}"
        first = load_scenes(spec, "test", 9, 32).images
        kept = list((tmp_path / "cache").rglob("*.safetensors"))
        assert len(kept) == 2 and not list((tmp_path / "cache").rglob("*.partial"))
        monkeypatch.setattr(raw, "read_raw", None)
        registry._load.cache_clear()
        assert torch.equal(load_scenes(spec, "test", 9, 32).images, first)

    def test_a_changed_file_is_read_again(self, folder, write_dng):
        before = load_scenes(f"raw:{folder}", "validation", 1, 32).images.mean()
        write_dng(folder / "val" / "val0.dng", flat((0.9, 0.9, 0.9)))
        assert load_scenes(f"raw:{folder}", "validation", 1, 32).images.mean() > before + 0.3

    def test_a_damaged_file_is_an_error_that_names_it(self, folder):
        (folder / "train" / "broken.dng").write_bytes(b"II*\0 no photo")
        scenes = load_scenes(f"raw:{folder}", "train", 9, 32)
        with pytest.raises(UserError, match=r"broken\.dng"):
            scenes.batch(range(4))

    def test_or_skipped_with_a_counted_warning(self, folder):
        (folder / "train" / "broken.dng").write_bytes(b"II*\0 no photo")
        with pytest.warns(UserWarning, match=r"skipped 1 of 4 train files; the first: .*broken\.dng"):
            scenes = load_scenes(f"raw:{folder}", "train", 9, 32, on_error="skip")
        assert len(scenes) == 3 and scenes.images.shape[0] == 3

    def test_a_folder_without_raw_files(self, tmp_path):
        with pytest.raises(UserError, match=r"no photos in .*\.dng"):
            check_data(f"raw:{tmp_path}")
