from isp_gym.data import load_scenes
from isp_gym.testing import check_data_source


def test_data_source_passes_its_check():
    check_data_source("charts")


def test_scenes_are_dark_and_their_targets_are_charts():
    batch = load_scenes("charts", count=4, image_size=24).batch(range(4))
    assert (batch.images.mean(dim=(1, 2, 3)) < batch.targets.mean(dim=(1, 2, 3))).all()
    assert all(len(target.flatten(1).unique(dim=1).T) == 24 for target in batch.targets)
