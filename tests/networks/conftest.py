import pytest
import torch
from torch import nn


@pytest.fixture(scope="session")
def save_yolo(tmp_path_factory):
    """Save a YOLO model of ultralytics' own configs with random weights, by its own saver; each once."""
    from isp_gym.networks.yolo.weights import import_ultralytics

    import_ultralytics()
    from ultralytics import YOLO

    folder = tmp_path_factory.mktemp("weights")

    def save(config, trained_at=None, end2end=False):
        path = folder / f"{config}-{trained_at}-{end2end}.pt"
        if not path.exists():
            torch.manual_seed(0)
            yolo = YOLO(f"{config}.yaml")
            _wake(yolo.model)
            yolo.model.end2end = end2end
            if trained_at:
                yolo.ckpt = {"train_args": {"imgsz": trained_at}}
            yolo.save(path)
        return str(path)

    return save


@pytest.fixture(scope="session")
def wake_yolo():
    return _wake


@torch.no_grad()
def _wake(model):
    """Give a fresh model the statistics of blotches, so that its layers say something, and classes that are likely."""
    for layer in model.train().modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = None
    for _ in range(4):
        model(nn.functional.interpolate(torch.rand(8, 3, 4, 4), (64, 64)))
    for name in ("cv3", "one2one_cv3"):
        for branch in getattr(model.model[-1], name, None) or []:
            branch[-1].weight.normal_(0, 0.02)
            branch[-1].bias.fill_(-3)
    model.eval()
