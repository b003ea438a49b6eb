"""``check_task`` passes what is sound and catches what is broken, one fault at a time."""

import pytest
import torch

import isp_gym  # noqa: F401 (registers the environments)
from isp_gym.tasks import Enhancement
from isp_gym.tasks.enhancement import EnhancementMetric
from isp_gym.testing import check_task


class BatchMean(Enhancement):
    def loss(self, images, scenes):
        return super().loss(images, scenes).mean().expand(len(images))


class ScalarLoss(Enhancement):
    def loss(self, images, scenes):
        return super().loss(images, scenes).mean()


class NoClip(Enhancement):
    def loss(self, images, scenes):
        return (images - scenes.targets).square().mean(dim=(1, 2, 3))


class NoGradient(Enhancement):
    def loss(self, images, scenes):
        return super().loss(images.detach(), scenes)


class NaNLoss(Enhancement):
    def loss(self, images, scenes):
        return super().loss(images, scenes) / 0 * 0


class ScoreMissing(Enhancement):
    score = "box_map"


class Meters(Enhancement):
    """A task whose metric is that of enhancement with ``measure`` changed."""

    def change(self, metrics):
        raise NotImplementedError

    def metric(self):
        task = self

        class Changed(EnhancementMetric):
            def measure(self, images, scenes):
                return task.change(super().measure(images, scenes))

        return Changed()


class SinglePrecisionMetrics(Meters):
    def change(self, metrics):
        return {key: value.float() for key, value in metrics.items()}


class MetricOfTheBatch(Meters):
    def change(self, metrics):
        return {"psnr": metrics["psnr"] - metrics["psnr"].mean()}


class WritesToItsImages(Enhancement):
    def loss(self, images, scenes):
        with torch.no_grad():
            images += 0.01
        return super().loss(images, scenes)


BROKEN_TASKS = {
    BatchMean: "batch",
    ScalarLoss: "shape",
    NoClip: "clip",
    NoGradient: "gradient",
    NaNLoss: "finite",
    ScoreMissing: "box_map",
    SinglePrecisionMetrics: "float64",
    MetricOfTheBatch: "batch",
    WritesToItsImages: r"writes|another loss",
}


class TestTask:
    def test_enhancement_passes(self):
        check_task(Enhancement())

    def test_a_name_will_do(self):
        check_task("enhancement")

    def test_something_else(self):
        with pytest.raises(AssertionError, match="is a Task, not"):
            check_task(Enhancement)

    @pytest.mark.parametrize("broken", BROKEN_TASKS, ids=lambda cls: cls.__name__)
    def test_it_is_caught(self, broken):
        with pytest.raises(AssertionError, match=BROKEN_TASKS[broken]):
            check_task(broken())
