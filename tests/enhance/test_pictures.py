"""Files become linear light and thumbnails as training scenes do; images become PNG files, every bit kept."""

import importlib.util

import cv2
import numpy as np
import pytest
import torch
from skimage.color import rgb2xyz

from isp_gym.data.annotations.letterbox import Letterbox
from isp_gym.data.sets.base_files import central_square
from isp_gym.enhance.pictures import Picture, encode_png, read_picture
from isp_gym.errors import UserError


def noise(*shape, dtype):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize(("dtype", "light"), [(np.uint8, "display"), (np.uint16, "linear")])
def test_by_default_the_bits_say_what_light_a_photo_is_in(tmp_path, dtype, light):
    pixels = noise(5, 7, 3, dtype=dtype)
    cv2.imwrite(str(tmp_path / "x.png"), pixels[..., ::-1])
    picture = read_picture(tmp_path / "x.png")
    assert picture.light == light and np.array_equal(picture.pixels, pixels)
    assert {read_picture(tmp_path / "x.png", light).light for light in ("linear", "display")} == {"linear", "display"}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_linear_values_are_those_of_the_file(dtype):
    pixels = noise(300, 4, 3, dtype=dtype)
    expected = torch.from_numpy(pixels.astype(np.float64) / np.iinfo(dtype).max).permute(2, 0, 1).float()
    assert torch.equal(Picture(pixels, "linear").linear(), expected)
    assert torch.equal(Picture(pixels, "display").display(), expected)


def test_a_finished_photo_is_linearised_by_srgb():
    pixels = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    linear = Picture(pixels, "display").linear()
    # Another's: the same grey in XYZ has the luminance Y of its linear value.
    luminance = rgb2xyz(pixels / 255)[..., 1]
    for channel in linear:
        np.testing.assert_allclose(channel.numpy(), luminance, atol=1e-5)


@pytest.mark.parametrize("size", [16, 100])
def test_a_thumbnail_is_made_as_scenes_are(size):
    picture = Picture(noise(50, 70, 3, dtype=np.uint16), "linear")
    crop, boxed = picture.thumbnail(size, "crop"), picture.thumbnail(size, "letterbox")
    assert np.array_equal(crop.permute(1, 2, 0), central_square(picture.pixels, size))
    assert np.array_equal(boxed.permute(1, 2, 0), Letterbox((70, 50), size).image(picture.pixels))


def test_a_thumbnail_of_a_finished_photo_is_averaged_in_linear_light():
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[::2] = 188  # half the light of white
    assert abs(float(Picture(pixels, "display").thumbnail(16, "crop").mean()) - 0.25) < 2e-3


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_png_keeps_every_bit(bits, dtype):
    pixels = noise(300, 9, 3, dtype=dtype)
    data = np.frombuffer(encode_png(Picture(pixels, "linear").linear(), bits), np.uint8)
    assert np.array_equal(cv2.imdecode(data, cv2.IMREAD_UNCHANGED)[..., ::-1], pixels)


def test_png_clips_and_rounds():
    image = torch.tensor([-1.0, 0.4999 / 255, 0.5001 / 255, 2.0]).expand(3, 1, 4)
    pixels = cv2.imdecode(np.frombuffer(encode_png(image), np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels[0, :, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_png_of_no_number_is_refused(value):
    image = torch.zeros(3, 300, 2)
    image[1, 299, 1] = value
    with pytest.raises(UserError, match="NaN"):
        encode_png(image)


@pytest.mark.skipif(importlib.util.find_spec("rawpy") is None, reason="rawpy is an extra")
def test_camera_raw_is_linear_whatever_is_said(tmp_path, write_dng):
    write_dng(tmp_path / "x.DNG", np.full((64, 64, 3), 0.25))
    for light in (None, "linear"):
        picture = read_picture(tmp_path / "x.DNG", light)
        assert picture.light == "linear" and abs(float(picture.linear().mean()) - 0.25) < 1e-3
    with pytest.raises(UserError, match="never display-referred"):
        read_picture(tmp_path / "x.DNG", "display")
