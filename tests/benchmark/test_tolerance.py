import math

import pytest

from isp_gym.benchmark.tolerance import differs, tolerance


@pytest.mark.parametrize(
    ("name", "recorded", "now", "same"),
    [
        ("psnr", 20.0, 20.0019, True),
        ("psnr", 20.0, 20.0021, False),
        ("ssim", 0.5, 0.5021, False),
        ("box_map", 0.5, 0.5019, True),
        ("clipiqa", 0.5, 0.505, True),
        ("musiq", 60.0, 60.5, True),
        ("musiq", 60.0, 61.0, False),
        ("psnr", math.nan, 20.0, False),
        ("psnr", 20.0, math.nan, False),
        ("psnr", math.nan, math.nan, False),
        ("psnr", None, 20.0, False),
        ("psnr", math.inf, 20.0, False),
        ("musiq", math.inf, 20.0, False),
    ],
)
def test_what_differs_by_more_than_other_processors_do(name, recorded, now, same):
    assert (differs(name, recorded, now) == "") == same
    assert same or differs(name, recorded, now).startswith(f"{name} was recorded as ")


def test_networks_scales_differ():
    assert tolerance("musiq", 60.0) == pytest.approx(0.6) and tolerance("musiq", 0.1) == 0.01
