import pytest
import torch

from isp_gym.envs.config import EnvConfig
from isp_gym.modules import blocks

SETTING = EnvConfig(image_size=16, num_scenes=6)


@pytest.fixture
def transition():
    return SETTING.make_transition()


def test_small_batches_stay_whole_and_large_ones_are_split():
    assert blocks.chunk_size(torch.empty(64, 3, 64, 64)) == 64
    assert blocks.chunk_size(torch.empty(64, 3, 256, 256)) == 5
    assert blocks.chunk_size(torch.empty(2, 3, 1024, 1024)) == 1
    assert blocks.chunk_size(torch.empty(0, 3, 16, 16)) == 1


def test_chunks_change_no_number(transition, monkeypatch):
    images, curves = transition.scenes.images, torch.rand(6, 3, 16, 16) * 2 - 1
    whole = transition.curve(images, curves)
    monkeypatch.setattr(blocks, "CHUNK", 4 * 3 * 16 * 16)
    torch.testing.assert_close(transition.curve(images, curves), whole)
    assert transition.budget.spent.module_megapixels == pytest.approx(2 * 6 * 256 / 1e6)
