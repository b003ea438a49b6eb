import pytest
import torch

from isp_gym.data import load_scenes
from isp_gym.errors import UserError
from isp_gym.tasks import get_task
from isp_gym.testing import check_task


def test_task_passes_its_check():
    check_task("edges")


def test_brightness_is_free_and_blur_is_not():
    batch = load_scenes("charts", count=2, image_size=24).batch([0, 1])
    target = batch.targets * 0.5 + 0.2
    batch = type(batch)(batch.images, target, batch.ids, batch.indices)
    task = get_task("edges")
    torch.testing.assert_close(task.loss(target + 0.1, batch), torch.zeros(2), atol=1e-5, rtol=0)
    blurred = torch.nn.functional.avg_pool2d(target, 5, 1, 2, count_include_pad=False)
    assert (task.loss(blurred, batch) > 0.01).all()


def test_weight_must_be_above_0():
    with pytest.raises(UserError, match="weight must be above 0, not 0"):
        get_task("edges", {"weight": 0})
