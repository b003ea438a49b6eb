import torch

from isp_gym.rewards import Frame, get_reward
from isp_gym.testing import check_reward


def test_reward_passes_its_check():
    check_reward("headroom")


def test_middle_grey_is_worth_more_than_black_and_white():
    levels = torch.tensor([0.0, 0.5, 1.0])[:, None, None, None].expand(3, 3, 4, 4)
    score = get_reward("headroom").map(Frame(levels), Frame(levels), None).mean(dim=(1, 2))
    torch.testing.assert_close(score, torch.tensor([0.0, 1.0, 0.0]), atol=1e-5, rtol=0)
