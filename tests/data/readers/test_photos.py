import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from isp_gym.data.readers import read_photo
from isp_gym.data.readers.photos import MAX_PIXELS
from isp_gym.errors import UserError


@pytest.fixture(params=["8 bit", "16 bit"])
def source(request, shallow, deep):
    return shallow if request.param == "8 bit" else deep


def as_rgb(pixels):
    return pixels[..., :3] if pixels.shape[2] > 2 else np.repeat(pixels[..., :1], 3, axis=2)


def same(path, pixels):
    found = read_photo(path)
    assert found.dtype == pixels.dtype
    assert found.shape == pixels.shape
    assert np.array_equal(found, pixels)
    assert found.flags.c_contiguous


@pytest.mark.parametrize("channels", [1, 2, 3, 4], ids=["grey", "grey+alpha", "rgb", "rgb+alpha"])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_every_value_is_kept(tmp_path, kind, channels, source, png, tiff):
    path, pixels = tmp_path / f"a.{kind}", source[..., :channels]
    if kind == "png":
        path.write_bytes(png(pixels))
    else:
        tiff(path, pixels)
    same(path, as_rgb(pixels))


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_values_that_differ_in_the_low_byte_only_stay_apart(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    pixels = np.arange(0x4000, 0x4000 + 48, dtype=np.uint16).reshape(4, 4, 3)
    cv2.imwrite(str(path), pixels[..., ::-1])
    same(path, pixels)


TIFF_LAYOUTS = {
    "zip": {"compression": "zlib", "predictor": True},
    "tiles": {"tile": (16, 16)},
    "strips": {"rowsperstrip": 2},
    "big-endian": {"byteorder": ">"},
    "big TIFF": {"bigtiff": True},
}


@pytest.mark.parametrize("options", TIFF_LAYOUTS.values(), ids=TIFF_LAYOUTS)
def test_layouts_of_tiff(tmp_path, options, source, tiff):
    pixels = np.tile(source[..., :3], (4, 4, 1))
    tiff(tmp_path / "a.tif", pixels, **options)
    same(tmp_path / "a.tif", pixels)


def test_planar_tiff(tmp_path, source):
    planes = np.ascontiguousarray(np.moveaxis(source[..., :3], -1, 0))
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    same(tmp_path / "a.tif", source[..., :3])


def test_lzw_tiff(tmp_path, source):
    cv2.imwrite(str(tmp_path / "a.tif"), source[..., 2::-1])
    same(tmp_path / "a.tif", source[..., :3])


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4], ids=["grey", "grey+alpha", "rgb", "rgb+alpha"])
def test_compressed_deep_tiff(tmp_path, deep, tiff, compression, channels):
    tiff(tmp_path / "a.tif", deep[..., :channels], compression=compression)
    same(tmp_path / "a.tif", as_rgb(deep[..., :channels]))


def test_compressed_planar_deep_tiff(tmp_path, deep):
    planes = np.ascontiguousarray(np.moveaxis(deep[..., :3], -1, 0))
    options = {"photometric": "rgb", "planarconfig": "separate"}
    tifffile.imwrite(tmp_path / "a.tif", planes, compression="lzw", predictor=True, **options)
    same(tmp_path / "a.tif", deep[..., :3])


def test_a_name_is_as_good_as_a_path(tmp_path, png, deep):
    (tmp_path / "a.png").write_bytes(png(deep))
    same(str(tmp_path / "a.png"), deep[..., :3])


@pytest.mark.parametrize("colours", [4, 16, 256])
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_palette(tmp_path, kind, colours, shallow):
    image = Image.fromarray(np.tile(shallow[..., :3], (5, 5, 1))).quantize(colours)
    image.save(tmp_path / f"a.{kind}")
    same(tmp_path / f"a.{kind}", np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("grey", [False, True])
def test_jpeg(tmp_path, grey):
    smooth = np.tile(np.linspace(0, 255, 32, dtype=np.uint8)[:, None, None], (1, 32, 3))
    Image.fromarray(smooth[..., 0] if grey else smooth).save(tmp_path / "a.jpg", quality=95)
    found = read_photo(tmp_path / "a.jpg")
    assert found.shape == (32, 32, 3)
    assert found.dtype == np.uint8
    assert abs(found.astype(int) - smooth).max() < 6


def oriented(pixels, orientation):
    """A JPEG-like stored form of ``pixels``: what a camera held as ``orientation`` says would have written."""
    turn = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p, 1),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }
    return np.ascontiguousarray(turn[orientation](pixels))


@pytest.mark.parametrize("kind", ["png", "png, EXIF last", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_undone(tmp_path, kind, orientation, source, png, png_chunk, tiff):
    path, stored = tmp_path / f"a.{kind[:3]}", oriented(source[..., :3], orientation)
    if kind == "tif":
        tiff(path, stored, extratags=[(274, 3, 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        chunk = png_chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
        path.write_bytes(png(stored, after=chunk) if "last" in kind else png(stored, before=chunk))
    same(path, source[..., :3])


def test_orientation_of_a_jpeg(tmp_path):
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:, :16] = 255
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif)
    found = read_photo(tmp_path / "a.jpg")
    assert found.shape == (32, 16, 3)
    assert found[:12].min() > 240
    assert found[20:].max() < 15


def test_content_counts_not_the_extension(tmp_path, png, shallow):
    (tmp_path / "a.jpg").write_bytes(png(shallow[..., :3]))
    same(tmp_path / "a.jpg", shallow[..., :3])


def test_names_that_are_not_ascii(tmp_path, png, deep):
    (tmp_path / "ein Bild, größer.png").write_bytes(png(deep[..., :3]))
    same(tmp_path / "ein Bild, größer.png", deep[..., :3])


def test_of_several_pages_the_first_is_read(tmp_path, deep):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for page in (deep[..., :3], deep[..., :3] // 2):
            writer.write(page, photometric="rgb")
    same(tmp_path / "a.tif", deep[..., :3])


def test_largest_photo_may_be_what_pillow_calls_a_bomb(tmp_path, recwarn, png, shallow):
    # Pillow warns from 89 megapixels on, and a warning on standard error would be one line too many.
    assert Image.MAX_IMAGE_PIXELS < MAX_PIXELS < 2 * Image.MAX_IMAGE_PIXELS
    path = tmp_path / "a.png"
    path.write_bytes(png(shallow, size=(10_000, 10_000)))  # the pixels are missing: it ends before they are needed
    with pytest.raises(UserError, match="truncated"):
        read_photo(path)
    assert not recwarn.list
