import pytest
import torch
import torch.nn.functional as F

from isp_gym.data import Objects
from isp_gym.errors import UserError
from isp_gym.networks.yolo.network import YOLONetwork

pytestmark = pytest.mark.full

SIZE = 64
CLASSES = tuple(str(i) for i in range(80))  # as in a model from a config
CONFIGS = ["yolov3-tiny", "yolov5n", "yolov8n", "yolo11n", "yolo26n", "yolo11n-seg", "yolo26n-seg"]


def objects(*boxes, masks=True, size=SIZE):
    """Filled rectangles of classes 0, 1, ..."""
    corners = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    filled = torch.zeros(len(corners), size, size, dtype=torch.bool)
    for mask, (x1, y1, x2, y2) in zip(filled, corners.int().tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
    return Objects(corners, torch.arange(len(corners)), CLASSES, filled if masks else None)


THREE = (objects([8, 12, 32, 40], [36, 4, 60, 28]), objects(), objects([16, 16, 56, 48]))


def images(count=3, size=SIZE):
    blotches = torch.rand(count, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    return F.interpolate(blotches, (size, size))


@pytest.fixture(params=CONFIGS)
def network(request, save_yolo):
    return YOLONetwork(save_yolo(request.param))


@pytest.fixture(params=["yolo11n", "yolo11n-seg"])
def one_of_each(request, save_yolo):
    return YOLONetwork(save_yolo(request.param))


class TestLosses:
    def test_those_that_there_are(self, network):
        losses = network.losses(images(), THREE)
        assert tuple(losses) == network.loss_names
        assert network.loss_names == (
            ("box", "class", "mask") if network._model.task == "segment" else ("box", "class")
        )
        for loss in losses.values():
            assert loss.shape == (3,) and loss.isfinite().all()

    def test_an_image_s_do_not_depend_on_the_others(self, network):
        together = network.losses(images(), THREE)
        for i in range(3):
            alone = network.losses(images()[i : i + 1], THREE[i : i + 1])
            for name in network.loss_names:
                # Kernels for one image and for three round otherwise: by up to 1.5e-4 with AVX2. What another image
                # changes, such as batch statistics, is percents.
                torch.testing.assert_close(together[name][i], alone[name][0], rtol=2e-3, atol=1e-4)

    def test_are_ultralytics_own_for_a_batch_of_one(self, save_yolo):
        from ultralytics import YOLO
        from ultralytics.cfg import get_cfg

        path, (two, _, _) = save_yolo("yolo11n-seg"), THREE
        model = YOLO(path).model.eval()
        model.args = get_cfg()
        centres = (two.boxes[:, :2] + two.boxes[:, 2:]) / 2
        numbers = (two.masks * torch.tensor([1, 2])[:, None, None]).sum(0)  # as its loader: one map of numbers
        batch = {
            "img": images(1),
            "batch_idx": torch.zeros(2),
            "cls": two.labels.float()[:, None],
            "bboxes": torch.cat([centres, two.boxes[:, 2:] - two.boxes[:, :2]], 1) / SIZE,
            "masks": numbers[None, ::4, ::4].float(),
        }
        with torch.no_grad():
            box, mask, label, distribution, _ = model.loss(batch)[0]
        ours = YOLONetwork(path).losses(images(1), (two,))
        assert box > 0 and mask > 0 and distribution > 0
        torch.testing.assert_close(ours["box"][0], box + distribution)
        torch.testing.assert_close(ours["class"][0], label)
        torch.testing.assert_close(ours["mask"][0], mask)

    def test_without_objects_there_is_only_the_class_loss(self, one_of_each):
        losses = one_of_each.losses(images(1), (objects(masks=False),))
        assert losses["class"] > 0
        assert all(losses[name] == 0 for name in one_of_each.loss_names if name != "class")

    def test_gradients_flow_into_an_image_s_own_pixels_and_nowhere_else(self, network):
        before = {name: value.clone() for name, value in network._model.state_dict().items()}
        shown = images().requires_grad_()
        for name, loss in network.losses(shown, THREE).items():
            (gradient,) = torch.autograd.grad(loss[2], shown, retain_graph=True)
            assert gradient[2].abs().sum() > 0, name
            assert not gradient[:2].any(), name
        assert not any(weight.requires_grad for weight in network._model.parameters())
        assert not any(layer.training for layer in network._model.modules())
        assert all(torch.equal(value, before[name]) for name, value in network._model.state_dict().items())

    def test_pixels_can_lower_them(self, one_of_each):
        shown, totals = images().requires_grad_(), []
        optimizer = torch.optim.Adam([shown], lr=1e-3)
        for _ in range(8):
            totals.append(sum(one_of_each.losses(shown, THREE).values()))
            optimizer.zero_grad()
            totals[-1].sum().backward()
            optimizer.step()
        assert (totals[-1] < totals[0]).all()

    def test_a_mask_loss_needs_masks(self, save_yolo):
        with pytest.raises(UserError, match="the data has no masks"):
            YOLONetwork(save_yolo("yolo11n-seg")).losses(images(1), (objects([8, 8, 40, 40], masks=False),))


class TestDetect:
    def test_what_it_returns(self, network):
        for found in network.detect(images().requires_grad_()):
            n = len(found.scores)
            assert 0 < n <= 100 and found.boxes.shape == (n, 4) and found.labels.shape == (n,)
            assert found.boxes.min() >= 0 and found.boxes.max() <= SIZE and found.labels.dtype == torch.int64
            assert (found.scores.diff() <= 0).all() and found.scores.min() >= 0 and found.scores.max() <= 1
            assert found.labels.min() >= 0 and found.labels.max() < len(network.classes)
            assert not (found.boxes.requires_grad or found.scores.requires_grad)
            if "mask" in network.loss_names:
                assert found.masks.shape == (n, SIZE, SIZE) and found.masks.dtype == torch.bool
            else:
                assert found.masks is None

    def test_an_image_s_do_not_depend_on_the_others(self, one_of_each):
        together = one_of_each.detect(images())
        for i, found in enumerate(together):
            (alone,) = one_of_each.detect(images()[i : i + 1])
            torch.testing.assert_close(found.scores, alone.scores, rtol=1e-4, atol=1e-4)

    def test_masks_lie_in_their_boxes(self, save_yolo):
        (found,) = YOLONetwork(save_yolo("yolo11n-seg")).detect(images(1))
        assert found.masks.any()
        for mask, (x1, y1, x2, y2) in zip(found.masks, found.boxes.tolist(), strict=True):
            y, x = mask.nonzero(as_tuple=True)
            assert ((x >= x1) & (x < x2) & (y >= y1) & (y < y2)).all()

    def test_after_it_gradients_still_flow(self, one_of_each):
        one_of_each.detect(images(1))
        shown = images(1).requires_grad_()
        one_of_each.losses(shown, THREE[:1])["class"].sum().backward()
        assert shown.grad.abs().sum() > 0


class TestTwoHeads:
    """Some have a second head, whose boxes need no suppression; whether it detects is in the checkpoint."""

    @pytest.mark.parametrize("config", ["yolov10n", "yolo26n", "yolo26n-seg"])
    def test_the_one_that_detects_is_asked(self, save_yolo, config):
        one, many = YOLONetwork(save_yolo(config, end2end=True)), YOLONetwork(save_yolo(config))
        shown = images().requires_grad_()
        losses, others = one.losses(shown, THREE), many.losses(images(), THREE)
        for name in one.loss_names:
            assert not torch.equal(losses[name], others[name])
        losses["class"][0].backward()
        assert shown.grad[0].any() and not shown.grad[1:].any()

        (found,), (other,) = one.detect(images(1, 96)), many.detect(images(1, 96))
        assert len(found.scores) == 100 and (found.scores.diff() <= 0).all()
        assert not torch.equal(found.scores, other.scores)
        assert found.masks is None or found.masks.shape == (100, 96, 96)


class TestSize:
    """Images become as large as those of its training, or a multiple of the stride."""

    @pytest.mark.parametrize("config", ["yolo11n", "yolo11n-seg"])
    @pytest.mark.parametrize(("trained_at", "size", "shown_at"), [(96, 48, 96), (None, 50, 64), (90, 64, 96)])
    def test_other_sizes(self, save_yolo, config, trained_at, size, shown_at):
        network, plain = YOLONetwork(save_yolo(config, trained_at)), YOLONetwork(save_yolo(config))
        small, scale = images(1, size), shown_at / size
        large = F.interpolate(small, (shown_at, shown_at), mode="bilinear", align_corners=False)

        (found,), (expected,) = network.detect(small), plain.detect(large)
        torch.testing.assert_close(found.boxes, expected.boxes / scale, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(found.scores, expected.scores)
        assert found.boxes.max() <= size and found.boxes.max() > 0.9 * size
        if found.masks is not None:
            assert found.masks.shape[1:] == (size, size)

        box = [4, 8, 28, 40]
        losses = network.losses(small, (objects(box, size=size),))
        same = plain.losses(large, (objects([n * scale for n in box], size=shown_at),))
        for name in ("box", "class"):
            torch.testing.assert_close(losses[name], same[name], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("config", ["yolov8n", "yolo11n-seg"])
def test_a_trained_one_finds_the_thing(config, wake_yolo, tmp_path):
    from ultralytics import YOLO

    x, y = (torch.arange(SIZE) + 0.5).expand(SIZE, SIZE), (torch.arange(SIZE) + 0.5)[:, None].expand(SIZE, SIZE)
    disc = ((x - 32) ** 2 + (y - 40) ** 2 < 16**2)[None]
    thing = Objects(torch.tensor([[16.0, 24, 48, 56]]), torch.tensor([0]), ("thing",), disc)
    image = torch.where(disc, torch.tensor([0.9, 0.3, 0.1])[:, None, None], 0.2)[None]
    yolo = YOLO(f"{config}.yaml")
    wake_yolo(yolo.model)
    yolo.model.names[0] = "thing"
    _train(yolo.model, image, disc)
    yolo.save(tmp_path / "trained.pt")

    network = YOLONetwork(str(tmp_path / "trained.pt"))
    (found,) = network.detect(image)
    assert network.classes[found.labels[0]] == "thing"
    assert found.scores[0] > 0.5
    assert (found.boxes[0] - thing.boxes[0]).abs().max() < 4
    if found.masks is not None:
        assert (found.masks[0] & disc[0]).sum() / (found.masks[0] | disc[0]).sum() > 0.8
    seen, missed = (network.losses(image, (these,)) for these in (thing, objects([0, 0, 20, 20])))
    assert sum(seen.values()) < sum(missed.values())


def _train(model, image, disc):
    """Some steps on one image by ultralytics' own loss."""
    from ultralytics.cfg import get_cfg

    model.args = get_cfg()
    batch = {
        "img": image,
        "batch_idx": torch.zeros(1),
        "cls": torch.zeros(1, 1),
        "bboxes": torch.tensor([[0.5, 0.625, 0.5, 0.5]]),
        "masks": disc[:, 2::4, 2::4].float(),
    }
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(80):
        optimizer.zero_grad()
        model.loss(batch)[0].sum().backward()
        optimizer.step()
