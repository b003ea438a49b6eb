import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isp_gym.data import Objects
from isp_gym.networks.embedded.decode import decode, suppress
from isp_gym.networks.embedded.loss import LOSSES, assign, crop, embedded_losses, overlaps
from isp_gym.networks.embedded.model import MASK_STRIDE, STRIDE, EmbeddedDetector, Output

CLASSES = ("a", "b", "c")
SIZE = 64


def square(x1, y1, x2, y2, label=0):
    """One object that fills its box."""
    mask = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    mask[:, y1:y2, x1:x2] = True
    return Objects(torch.tensor([[x1, y1, x2, y2]]).float(), torch.tensor([label]), CLASSES, mask)


def both(*some):
    fields = [[getattr(o, name) for o in some] for name in ("boxes", "labels", "masks")]
    boxes, labels, masks = (torch.cat(field) for field in fields)
    return Objects(boxes, labels, CLASSES, masks)


NOTHING = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), CLASSES, torch.zeros(0, SIZE, SIZE).bool())


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return EmbeddedDetector(len(CLASSES), widths=(4, 8, 12, 16), num_prototypes=4).eval().requires_grad_(False)


def perfect(objects):
    """The output of a network that is sure of what there is, and right: prototype k is object k's mask."""
    n = (SIZE // STRIDE) ** 2
    steps = (torch.arange(SIZE // STRIDE) + 0.5) * STRIDE
    points = torch.stack([steps.repeat(len(steps)), steps.repeat_interleave(len(steps))], 1)
    chosen = assign(points, objects.boxes[None], torch.ones(1, len(objects), dtype=torch.bool))
    objectness, classes = torch.full((1, n), -30.0), torch.zeros(1, n, len(CLASSES))
    boxes, coefficients = torch.zeros(1, n, 4), torch.zeros(1, n, len(objects))
    objectness[0, chosen.point] = 30.0
    classes[0, chosen.point, objects.labels[chosen.object]] = 30.0
    boxes[0, chosen.point] = objects.boxes[chosen.object]
    coefficients[0, chosen.point, chosen.object] = 1.0
    prototypes = torch.nn.functional.avg_pool2d(objects.masks[None].float(), MASK_STRIDE) * 60 - 30
    return Output(points, objectness, classes, boxes, coefficients, prototypes)


class TestNetwork:
    def test_its_points_are_spread_over_the_image(self, net):
        output = net(torch.rand(2, 3, SIZE, 32))
        assert output.points.shape == (32, 2) and output.boxes.shape == (2, 32, 4)
        assert output.points[0].tolist() == [4, 4] and output.points[-1].tolist() == [28, 60]
        assert output.prototypes.shape == (2, 4, SIZE // MASK_STRIDE, 32 // MASK_STRIDE)
        assert (output.boxes[..., :2] < output.points).all() and (output.boxes[..., 2:] > output.points).all()

    def test_it_has_about_a_million_parameters(self):
        assert sum(p.numel() for p in EmbeddedDetector(6).parameters()) < 1.1e6


class TestAssign:
    def test_points_near_the_centre_answer(self):
        points = torch.tensor([[4.0, 4.0], [12.0, 4.0], [20.0, 4.0], [36.0, 4.0]])
        chosen = assign(points, torch.tensor([[[0.0, 0, 24, 8], [0, 0, 0, 0]]]), torch.tensor([[True, False]]))
        assert chosen.point.tolist() == [0, 1, 2] and chosen.object.tolist() == [0, 0, 0]

    def test_the_smaller_object_has_the_point(self):
        points = torch.tensor([[4.0, 4.0]])
        boxes = torch.tensor([[[0.0, 0, 10, 10], [2, 2, 6, 6]]])
        assert assign(points, boxes, torch.ones(1, 2, dtype=torch.bool)).object.tolist() == [1]

    def test_every_object_has_a_point(self):
        # However small: the grid is as fine as the reach.
        points = perfect(square(0, 0, 8, 8)).points
        for x in range(1, SIZE):
            box = torch.tensor([[[x - 0.5, 10.0, x + 0.5, 11.0]]])
            assert len(assign(points, box, torch.ones(1, 1, dtype=torch.bool)).point)


class TestOverlaps:
    def test_known_values(self):
        a = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 2, 2]])
        b = torch.tensor([[1.0, 0, 3, 2], [2, 0, 3, 1], [0, 0, 2, 2]])
        iou, giou = overlaps(a, b)
        torch.testing.assert_close(iou, torch.tensor([1 / 3, 0, 1]))
        torch.testing.assert_close(giou, torch.tensor([1 / 3, -1 / 3, 1]))

    @settings(max_examples=50, deadline=None)
    @given(st.lists(st.floats(0, 60), min_size=8, max_size=8))
    def test_bounds(self, numbers):
        corner = torch.tensor(numbers).reshape(2, 2, 2)
        a, b = (torch.cat([c[0], c[0] + c[1] + 0.1])[None] for c in corner)
        iou, giou = overlaps(a, b)
        assert 0 <= iou <= 1 + 1e-6 and -1 <= giou <= iou + 1e-6


class TestCrop:
    def test_touched_pixels(self):
        inside = crop(torch.tensor([[1.0, 0.5, 2.5, 2.0]]), (3, 4))
        assert inside[0].tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]


class TestLosses:
    def test_a_perfect_network_has_none(self):
        objects = both(square(8, 8, 24, 24, 1), square(32, 36, 56, 60, 2))
        for name, loss in embedded_losses(perfect(objects), [objects]).items():
            assert loss.item() < 1e-3, name

    @pytest.mark.parametrize(
        ("name", "spoil"),
        [
            ("box", lambda o: o._replace(boxes=o.boxes + 3)),
            ("objectness", lambda o: o._replace(objectness=o.objectness.neg())),
            ("class", lambda o: o._replace(classes=o.classes.roll(1, 2))),
            ("mask", lambda o: o._replace(coefficients=o.coefficients.neg())),
        ],
    )
    def test_each_loss_sees_its_own_mistake(self, name, spoil):
        objects = square(8, 8, 24, 24, 1)
        losses = embedded_losses(spoil(perfect(objects)), [objects])
        assert losses[name].item() > 0.1
        others = [loss.item() for key, loss in losses.items() if key not in (name, "objectness")]
        assert max(others) < 1e-3

    def test_each_image_by_itself(self, net):
        images = torch.rand(4, 3, SIZE, SIZE)
        objects = [square(8, 8, 30, 30), NOTHING, both(square(0, 0, 20, 20, 2), square(5, 5, 60, 60)), NOTHING]
        together = embedded_losses(net(images), objects)
        assert tuple(together) == LOSSES
        for i in range(4):
            alone = embedded_losses(net(images[i : i + 1]), objects[i : i + 1])
            for name, loss in alone.items():
                torch.testing.assert_close(loss[0], together[name][i], rtol=1e-4, atol=1e-5)
        assert together["box"][1] == 0 and together["objectness"][1] > 0

    def test_no_masks_no_mask_loss(self, net):
        unmasked = Objects(torch.tensor([[8.0, 8, 30, 30]]), torch.tensor([0]), CLASSES)
        assert "mask" not in embedded_losses(net(torch.rand(1, 3, SIZE, SIZE)), [unmasked])

    def test_gradients_reach_pixels(self, net):
        images = torch.rand(2, 3, SIZE, SIZE, requires_grad=True)
        for name, loss in embedded_losses(net(images), [square(8, 8, 30, 30), NOTHING]).items():
            (gradient,) = torch.autograd.grad(loss.sum(), images, retain_graph=True)
            assert gradient[0].any() and (gradient[1].any() or name != "objectness")


class TestDecode:
    def test_it_finds_what_a_perfect_network_says(self):
        objects = both(square(8, 8, 24, 24, 1), square(32, 36, 56, 60, 2))
        (found,) = decode(perfect(objects), SIZE)
        assert found.labels.tolist() == [1, 2] or found.labels.tolist() == [2, 1]
        order = found.labels.argsort()
        torch.testing.assert_close(found.boxes[order], objects.boxes)
        assert (found.masks[order] == objects.masks).float().mean() > 0.98
        assert (found.scores > 0.99).all()

    def test_nothing(self):
        output = perfect(square(8, 8, 24, 24))
        (found,) = decode(output._replace(objectness=torch.full_like(output.objectness, -30)), SIZE)
        assert found.boxes.shape == (0, 4) and found.masks.shape == (0, SIZE, SIZE)

    def test_the_surest_first_and_at_most_100(self, net):
        for found in decode(net(torch.rand(2, 3, SIZE, SIZE)), SIZE):
            assert len(found.scores) <= 100 and (found.scores.diff() <= 0).all()


class TestSuppress:
    def test_repeats_of_a_class_go(self):
        boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [0, 0, 10, 9], [20, 20, 30, 30]])
        assert suppress(boxes, torch.tensor([0, 0, 1, 0])).tolist() == [0, 2, 3]

    def test_what_is_gone_suppresses_nothing(self):
        boxes = torch.tensor([[0.0, 0, 10, 10], [0, 2, 10, 12], [0, 4, 10, 14]])
        assert suppress(boxes, torch.zeros(3, dtype=torch.int64)).tolist() == [0, 2]
