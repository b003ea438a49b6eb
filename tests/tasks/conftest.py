"""A detector small enough to be seen through, and scenes for it."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from isp_gym.data import MemoryStore, Objects, SceneSet
from isp_gym.networks import Detections, Network

SIDE, CELL = 32, 8


class Squares(Network):
    """Finds red and green squares of 8x8 pixels in the cells of a grid, by their colour."""

    classes = ("red", "GREEN")
    loss_names = ("box", "objectness", "class", "mask")

    def __init__(self):
        self.net = nn.Conv2d(3, 2, 1)
        with torch.no_grad():
            self.net.weight[:, :, 0, 0] = torch.tensor([[20.0, -15, -5], [-15, 20, -5]])
            self.net.bias.fill_(-4)
        self.net.eval().requires_grad_(False)

    def losses(self, images, objects):
        pixels = self.net(images)
        cells = F.avg_pool2d(pixels, CELL).flatten(2).mT
        rows = [self._of_one(*one) for one in zip(pixels, cells, objects, strict=True)]
        return {name: torch.stack([row[name] for row in rows]) for name in self.loss_names}

    def _of_one(self, pixels, cells, objects):
        corners = (objects.boxes[:, :2] / CELL).long()
        places = corners[:, 1] * (SIDE // CELL) + corners[:, 0]
        sure, there = cells.amax(1), torch.zeros(len(cells)).index_fill(0, places, 1)
        none = cells.sum() * 0
        wanted = pixels[objects.labels], torch.zeros(0) if objects.masks is None else objects.masks.float()
        return {
            "objectness": F.binary_cross_entropy_with_logits(sure, there),
            "class": F.cross_entropy(cells[places], objects.labels) if len(objects) else none,
            "box": (1 - sure[places].sigmoid()).mean() if len(objects) else none,
            "mask": F.binary_cross_entropy_with_logits(*wanted) if wanted[1].numel() else none,
        }

    @torch.no_grad()
    def detect(self, images):
        pixels = self.net(images)
        return [self._found(*one) for one in zip(pixels, F.avg_pool2d(pixels, CELL).flatten(2).mT, strict=True)]

    def _found(self, pixels, cells):
        scores, labels = cells.sigmoid().max(1)
        scores, order = scores.sort(descending=True)
        order, scores = order[scores > 0.5], scores[scores > 0.5]
        x, y = order % (SIDE // CELL) * CELL, order // (SIDE // CELL) * CELL
        boxes = torch.stack([x, y, x + CELL, y + CELL], 1).float()
        masks = torch.zeros(len(order), SIDE, SIDE, dtype=torch.bool)
        for mask, left, top, label in zip(masks, x, y, labels[order], strict=True):
            part = slice(top, top + CELL), slice(left, left + CELL)
            mask[part] = pixels[label][part] > 0
        return Detections(boxes, scores, labels[order], masks)


CLASSES = ("Red", "green", "blue")
COLOURS = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.1, 0.9]])


def objects_at(places, classes=CLASSES, crowd=None, masks=True):
    """Squares at (column, row, label)."""
    corners = torch.tensor([[x * CELL, y * CELL] for x, y, _ in places], dtype=torch.float32).reshape(-1, 2)
    shapes = torch.zeros(len(places), SIDE, SIDE, dtype=torch.bool)
    for shape, (x, y, _) in zip(shapes, places, strict=True):
        shape[y * CELL : (y + 1) * CELL, x * CELL : (x + 1) * CELL] = True
    labels = torch.tensor([label for *_, label in places], dtype=torch.int64)
    crowds = torch.zeros(len(places), dtype=torch.bool) if crowd is None else torch.tensor(crowd)
    return Objects(torch.cat([corners, corners + CELL], 1), labels, classes, shapes if masks else None, crowds)


def scenes_of(rows, light=1.0):
    """Scenes of these objects on gray, each as bright as it is told."""
    generator = torch.Generator().manual_seed(0)
    images = 0.1 + 0.02 * torch.rand(len(rows), 3, SIDE, SIDE, generator=generator)
    for image, objects in zip(images, rows, strict=True):
        for box, label in zip(objects.boxes.int().tolist(), objects.labels, strict=True):
            image[:, box[1] : box[3], box[0] : box[2]] = COLOURS[label][:, None, None]
    names = [f"test/{i}" for i in range(len(rows))]
    return SceneSet(MemoryStore(images * light, None, None, rows), names, names, "test", "squares")


PLACES = ([(0, 0, 0), (2, 1, 1)], [(3, 3, 1)], [], [(1, 1, 0), (2, 2, 0), (0, 3, 1)])


@pytest.fixture
def squares():
    """A frozen network that finds red and green squares."""
    return Squares()


@pytest.fixture
def objects():
    """See :func:`objects_at`."""
    return objects_at


@pytest.fixture
def scene_set():
    """See :func:`scenes_of`."""
    return scenes_of


@pytest.fixture
def scenes():
    """Four scenes of squares, one of them empty; the light is so low that some are missed."""
    return scenes_of([objects_at(places) for places in PLACES])
