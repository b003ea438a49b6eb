import torch
from isp_gym_example_plugins.black_level import black_level

from isp_gym.modules import get_bank
from isp_gym.testing import check_bank, check_module


def test_module_passes_its_check():
    check_module("black_level")


def test_bank_passes_its_check():
    check_bank("pedestal")
    assert get_bank("pedestal").names == ("black_level", "white_balance", "exposure", "gamma")


def test_pedestal_becomes_black_and_white_stays():
    images = torch.tensor([0.05, 1.0]).expand(1, 3, 1, 2)
    torch.testing.assert_close(black_level(images, torch.tensor([[0.05]])), torch.tensor([0.0, 1.0]).expand(1, 3, 1, 2))
