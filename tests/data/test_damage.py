"""Photos that cannot be used: one clear line that names the file, and not a word from any decoder."""

import logging
import tracemalloc

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from isp_gym.data.readers.photos import read_photo
from isp_gym.errors import UserError


@pytest.fixture
def refused(tmp_path, capfd, caplog, recwarn):
    """Assert that a file of these bytes is refused in one silent line, and return that line without the path."""
    caplog.set_level(logging.DEBUG)

    def check(data, name="a.png"):
        path = tmp_path / name
        if data is not None:
            path.write_bytes(data)
        with pytest.raises(UserError) as caught:
            read_photo(path)
        line = str(caught.value)
        assert line.startswith(f"cannot use photo {path}: ")
        assert "\n" not in line
        assert capfd.readouterr() == ("", "")
        # Outside of tests Python prints warnings of loggers that nobody has set up.
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
        assert not recwarn.list
        return line.removeprefix(f"cannot use photo {path}: ")

    return check


def saved(tmp_path, pixels, name, **options):
    Image.fromarray(pixels).save(tmp_path / name, **options)
    return (tmp_path / name).read_bytes()


def big(source):
    """A photo of the same depth that is large and does not compress."""
    return np.random.default_rng(1).integers(0, np.iinfo(source.dtype).max, (64, 48, 3)).astype(source.dtype)


PARTS = [0.02, 0.3, 0.6, 0.95]


class TestTruncated:
    @pytest.mark.parametrize("part", PARTS)
    @pytest.mark.parametrize("progressive", [False, True])
    def test_jpeg(self, refused, tmp_path, shallow, part, progressive):
        data = saved(tmp_path, big(shallow), "whole.jpg", progressive=progressive)
        assert "truncated" in refused(data[: int(part * len(data))], "a.jpg")

    @pytest.mark.parametrize("part", PARTS)
    @pytest.mark.parametrize("bits", [8, 16])
    def test_png(self, refused, png, shallow, deep, part, bits):
        data = png(big(shallow if bits == 8 else deep))
        assert "truncated" in refused(data[: int(part * len(data))])

    @pytest.mark.parametrize("part", PARTS)
    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize("compression", [None, "zlib"])
    def test_tiff_that_begins_with_its_header(self, refused, tmp_path, tiff, shallow, deep, part, bits, compression):
        tiff(tmp_path / "whole.tif", big(shallow if bits == 8 else deep), compression=compression)
        data = (tmp_path / "whole.tif").read_bytes()
        assert "truncated" in refused(data[: int(part * len(data))], "a.tif")

    @pytest.mark.parametrize("left_out", [1, 20, 60, 120, 5_000])
    def test_tiff_that_ends_with_its_header(self, refused, tmp_path, shallow, left_out):
        data = saved(tmp_path, big(shallow), "whole.tif", compression="tiff_lzw")
        assert "truncated" in refused(data[:-left_out], "a.tif")

    def test_start_of_a_png(self, refused, png, shallow):
        for length in range(8, 26):
            assert "truncated" in refused(png(shallow)[:length])

    def test_png_that_misses_only_its_last_chunk(self, tmp_path, capfd, png, deep):
        (tmp_path / "a.png").write_bytes(png(deep)[:-12])
        assert np.array_equal(read_photo(tmp_path / "a.png"), deep[..., :3])
        assert capfd.readouterr() == ("", "")


class TestDamaged:
    def test_checksum_of_deep_pixels(self, refused, png, deep):
        data = png(deep)
        assert "damaged" in refused(data[:-13] + bytes([data[-13] ^ 1]) + data[-12:])

    def test_pixels_of_a_png(self, refused, png, shallow):
        data = bytearray(png(shallow))
        data[60] ^= 255
        assert "damaged" in refused(bytes(data))

    @pytest.mark.parametrize("bits", [8, 16])
    def test_bad_metadata_is_no_reason_to_talk(self, tmp_path, capfd, recwarn, png, png_chunk, shallow, deep, bits):
        pixels = shallow if bits == 8 else deep
        exif = png_chunk(b"eXIf", b"II*\0\x08\0\0\0\x09\0\x12\x01\x03")
        odd = (
            exif + png_chunk(b"iCCP", b"bad\0\0junk") + png_chunk(b"sBIT", b"\0\0\0\0") + png_chunk(b"tEXt", b"x" * 200)
        )
        (tmp_path / "a.png").write_bytes(png(pixels, before=odd))
        assert np.array_equal(read_photo(tmp_path / "a.png"), pixels[..., :3])
        assert capfd.readouterr() == ("", "")
        assert not recwarn.list

    def test_pixels_of_a_deep_compressed_tiff(self, refused, tmp_path, deep):
        cv2.imwrite(str(tmp_path / "whole.tif"), big(deep))
        data = (tmp_path / "whole.tif").read_bytes()
        assert "damaged" in refused(data[:8] + b"\xff" * 40 + data[48:], "a.tif")

    def test_exif_of_a_jpeg_is_no_reason_to_talk(self, tmp_path, capfd, recwarn, shallow):
        saved(tmp_path, big(shallow), "a.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0\x12\x01\x03")
        assert read_photo(tmp_path / "a.jpg").shape == (64, 48, 3)
        assert capfd.readouterr() == ("", "")
        assert not recwarn.list

    @pytest.mark.parametrize("tag", [256, 258, 262, 273, 277])
    def test_tiff_tag_of_an_unknown_type(self, refused, tmp_path, tiff, shallow, tag):
        tiff(tmp_path / "whole.tif", big(shallow))
        with tifffile.TiffFile(tmp_path / "whole.tif") as file:
            at = file.pages.first.tags[tag].offset + 2
        data = (tmp_path / "whole.tif").read_bytes()
        assert "damaged" in refused(data[:at] + b"\xee\xee" + data[at + 2 :], "a.tif")

    def test_tiff_with_an_odd_tag_that_does_not_matter(self, tmp_path, capfd, caplog, tiff, shallow):
        tiff(tmp_path / "a.tif", shallow, software="x" * 40)
        with tifffile.TiffFile(tmp_path / "a.tif") as file:
            at = file.pages.first.tags[305].offset + 2
        data = (tmp_path / "a.tif").read_bytes()
        (tmp_path / "a.tif").write_bytes(data[:at] + b"\xee\xee" + data[at + 2 :])
        assert np.array_equal(read_photo(tmp_path / "a.tif"), shallow[..., :3])
        assert capfd.readouterr() == ("", "")
        assert not caplog.records


class TestNoPhoto:
    def test_text(self, refused):
        assert "not a JPEG, PNG or TIFF" in refused(b"once upon a time\n" * 9)

    def test_empty(self, refused):
        assert refused(b"") == "it is empty"

    def test_missing(self, refused):
        assert "No such file" in refused(None)

    def test_folder(self, refused, tmp_path):
        (tmp_path / "a.png").mkdir()
        assert "directory" in refused(None)

    @pytest.mark.parametrize("start", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"II+\0"])
    def test_junk_after_the_first_bytes(self, refused, start):
        refused(start + bytes(range(256)) * 4)

    def test_another_format(self, refused, tmp_path, shallow):
        assert "not a JPEG, PNG or TIFF" in refused(saved(tmp_path, big(shallow), "whole.bmp"))


class TestOtherKinds:
    @pytest.mark.parametrize(
        ("dtype", "words"),
        [("float32", "32-bit float"), ("float16", "16-bit float"), ("uint32", "32-bit"), ("int16", "16-bit signed")],
    )
    def test_samples(self, refused, tmp_path, tiff, deep, dtype, words):
        tiff(tmp_path / "a.tif", (deep // 2).astype(dtype))
        assert words in refused(None, "a.tif")

    def test_cmyk(self, refused, tmp_path, shallow):
        Image.fromarray(shallow, "CMYK").save(tmp_path / "a.jpg")
        assert "CMYK" in refused(None, "a.jpg")
        tifffile.imwrite(tmp_path / "a.tif", shallow, photometric="separated")
        assert "SEPARATED" in refused(None, "a.tif")

    def test_too_many_channels(self, refused, tmp_path):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4, 7), np.uint16), photometric="rgb", planarconfig="contig")
        assert "7 channels" in refused(None, "a.tif")

    def test_one_bit(self, refused, tmp_path):
        Image.new("1", (8, 8)).save(tmp_path / "a.png")
        assert "1-bit" in refused(None)


class TestGigantic:
    @pytest.fixture(autouse=True)
    def _little_memory(self):
        tracemalloc.start()
        yield
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 5_000_000

    @pytest.mark.parametrize("bits", [8, 16])
    @pytest.mark.parametrize("size", [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (170_000_001, 1)])
    def test_png(self, refused, png, shallow, deep, size, bits):
        line = refused(png(shallow if bits == 8 else deep, size=size))
        assert f"{size[0]} x {size[1]}" in line
        assert "170 megapixels" in line

    @pytest.mark.parametrize("side", [14_000, 65_000])
    def test_jpeg(self, refused, tmp_path, shallow, side):
        data = bytearray(saved(tmp_path, big(shallow), "whole.jpg"))
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = side.to_bytes(2, "big") * 2
        assert "170 megapixels" in refused(bytes(data), "a.jpg")

    @pytest.mark.parametrize("bits", [8, 16])
    def test_tiff(self, refused, tmp_path, tiff, shallow, deep, bits):
        tiff(tmp_path / "a.tif", shallow if bits == 8 else deep)
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
            for tag in (256, 257):
                file.pages.first.tags[tag].overwrite(1_000_000)
        assert "1000000 x 1000000" in refused(None, "a.tif")

    @pytest.mark.parametrize("size", [(0, 8), (8, 0)])
    def test_nothing_at_all(self, refused, png, shallow, size):
        assert "no pixels" in refused(png(shallow, size=size))
