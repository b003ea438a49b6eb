import math

import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from isp_gym.data import SceneBatch
from isp_gym.errors import UserError
from isp_gym.tasks import TASKS, get_task
from isp_gym.tasks.enhancement import is_constant
from isp_gym.testing import check_task

TASK = get_task("enhancement")


def scenes(targets: torch.Tensor) -> SceneBatch:
    n = len(targets)
    return SceneBatch(torch.zeros_like(targets), targets, tuple(str(i) for i in range(n)), tuple(range(n)))


TARGETS = torch.rand(4, 3, 24, 20)
IMAGES = (TARGETS + 0.2 * torch.randn(4, 3, 24, 20)).clamp(-0.5, 1.5)


class TestLoss:
    def test_is_the_mean_squared_error_of_each_image(self):
        images = TARGETS.clone().clamp(0.1, 0.9)
        targets = images + torch.tensor([0.0, 0.1, -0.05, 0.02])[:, None, None, None]
        torch.testing.assert_close(TASK.loss(images, scenes(targets)), torch.tensor([0.0, 0.01, 0.0025, 0.0004]))

    def test_sees_the_image_that_the_metrics_see(self):
        loss = TASK.loss(IMAGES, scenes(TARGETS))
        torch.testing.assert_close(loss, TASK.loss(IMAGES.clamp(0, 1), scenes(TARGETS)))
        torch.testing.assert_close(-10 * loss.double().log10(), TASK.metric().update(IMAGES, scenes(TARGETS))["psnr"])

    def test_does_not_depend_on_the_batch(self):
        whole = TASK.loss(IMAGES, scenes(TARGETS))
        for i in range(4):
            assert torch.equal(TASK.loss(IMAGES[i : i + 1], scenes(TARGETS[i : i + 1])), whole[i : i + 1])

    def test_gradient(self):
        images = IMAGES.double().requires_grad_()
        assert torch.autograd.gradcheck(lambda x: TASK.loss(x, scenes(TARGETS.double())), images)


class TestMetrics:
    def test_agree_with_scikit_image(self):
        metrics = TASK.metric().update(IMAGES, scenes(TARGETS))
        for i in range(4):
            image, target = IMAGES[i].clamp(0, 1).double().numpy(), TARGETS[i].double().numpy()
            options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
            ssim = structural_similarity(image, target, channel_axis=0, data_range=1.0, **options)
            psnr = peak_signal_noise_ratio(target, image, data_range=1.0)
            assert metrics["psnr"][i].item() == pytest.approx(psnr)
            assert metrics["ssim"][i].item() == pytest.approx(ssim)

    def test_of_a_perfect_image(self):
        metrics = TASK.metric().update(TARGETS, scenes(TARGETS))
        assert metrics["psnr"].tolist() == [100.0] * 4
        assert metrics["ssim"].tolist() == pytest.approx([1.0] * 4)


class TestConstantTargets:
    @staticmethod
    def dim(spread, mean=0.02):
        """A target (3, 24, 20) whose every channel has this standard deviation."""
        rough = torch.randn(3, 24, 20, dtype=torch.float64)
        rough = (rough - rough.mean((1, 2), keepdim=True)) / rough.std((1, 2), correction=0, keepdim=True)
        return (mean + spread * rough).float()

    def test_have_no_metric_and_are_left_out_of_the_means(self):
        targets = torch.stack([TARGETS[0], self.dim(0.9 / 255), TARGETS[1], torch.zeros(3, 24, 20)])
        metric = TASK.metric()
        assert metric.left_out() == 0
        metrics = metric.update(IMAGES, scenes(targets))
        assert all(values.isnan().tolist() == [False, True, False, True] for values in metrics.values())
        assert metric.compute()["psnr"] == pytest.approx(metrics["psnr"][[0, 2]].mean().item())
        assert metric.left_out() == 2
        metric.update(IMAGES, scenes(targets))
        assert metric.left_out() == 4

    def test_one_level_of_8_bits_is_the_line_for_each_channel(self):
        one_channel = torch.stack([self.dim(0.1 / 255)[0], self.dim(1.1 / 255)[0], self.dim(0.1 / 255)[0]])
        images = torch.stack([self.dim(0.99 / 255), self.dim(1.01 / 255), one_channel])
        assert is_constant(images).tolist() == [True, False, False]
        assert is_constant(torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)).tolist() == [True]
        assert is_constant(images.to("meta")).device.type == "meta"

    def test_nothing_else_is_not_defined(self):
        metric = TASK.metric()
        metric.update(IMAGES[:2], scenes(torch.full((2, 3, 24, 20), 0.4)))
        assert all(math.isnan(value) for value in metric.compute().values()) and metric.left_out() == 2

    def test_the_loss_is_as_it_was(self):
        assert TASK.loss(IMAGES, scenes(torch.zeros_like(TARGETS))).isfinite().all()


def test_names_its_metrics():
    assert TASK.score in TASK.metric().update(IMAGES, scenes(TARGETS))
    assert TASKS["enhancement"] is type(TASK)


def test_unknown_task():
    with pytest.raises(UserError, match="unknown task 'enhancment'; did you mean 'enhancement'"):
        get_task("enhancment")


class TestOtherLosses:
    @pytest.mark.parametrize("power", [1, 2])
    def test_distance(self, power):
        images, offsets = torch.full((4, 3, 16, 16), 0.5), torch.tensor([0.0, 0.1, -0.05, 0.02])
        task = get_task("enhancement", {"loss": {1: "l1", 2: "mse"}[power]})
        loss = task.loss(images, scenes(images + offsets[:, None, None, None]))
        torch.testing.assert_close(loss, offsets.abs() ** power)

    def test_ssim_agrees_with_the_metric(self):
        task = get_task("enhancement", {"loss": "ssim"})
        metric = task.metric().update(IMAGES, scenes(TARGETS))["ssim"]
        torch.testing.assert_close(1 - task.loss(IMAGES, scenes(TARGETS)).double(), metric, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("loss", ["mse", "l1", "ssim"])
    def test_is_a_sound_task(self, loss):
        check_task(get_task("enhancement", {"loss": loss}))

    @pytest.mark.parametrize(
        ("spec", "options", "message"),
        [
            ("enhancement", {"loss": "l2"}, "unknown enhancement loss 'l2'"),
            ("enhancement", {"network": "x"}, "does not take its options"),
            ("enhancement:yolo.pt", None, "has no network"),
        ],
    )
    def test_faults_are_named(self, spec, options, message):
        with pytest.raises(UserError, match=message):
            get_task(spec, options)


def test_data_without_targets_is_named():
    batch = SceneBatch(torch.zeros(1, 3, 16, 16), None, ("test/a.dng",), (0,))
    for scored in (TASK.loss, TASK.metric().update):
        with pytest.raises(UserError, match=r"'test/a\.dng' has none"):
            scored(batch.images, batch)
