import pytest
import torch

from isp_gym.benchmark.evaluation import evaluate
from isp_gym.data import MemoryStore, SceneSet
from isp_gym.envs.setting import Setting
from isp_gym.errors import UserError

SETTING = Setting(num_scenes=40, image_size=16, split="validation")
SCENES, BANK, TASK = SETTING.load_scenes(), SETTING.make_bank(), SETTING.make_task()


class Brighten:
    def pipelines(self, images):
        params = BANK.neutral.repeat(len(images), 1)
        params[:, 0] = 0.75
        return torch.full((len(images), 1), 0), params


class Enhance:
    def __init__(self, function):
        self.enhance = function


def test_pipelines_are_applied_by_the_bank():
    result = evaluate(Brighten(), SCENES, BANK, TASK, keep=40)
    torch.testing.assert_close(result.outputs, SCENES.images * 2**1.75)
    assert result.sequences.shape == (40, 1) and result.params.shape == (40, 27)
    assert set(result.metrics) == set(result.per_scene) == {"psnr", "ssim"}


def test_chunks_change_nothing():
    seen = []
    result = evaluate(Enhance(lambda images: seen.append(len(images)) or images), SCENES, BANK, TASK)
    assert seen == [32, 8]
    whole = TASK.meter()
    torch.testing.assert_close(result.per_scene["psnr"], whole.add(SCENES.images, SCENES.batch(range(40)))["psnr"])
    assert result.metrics["psnr"] == pytest.approx(whole.result()["psnr"])


@pytest.mark.parametrize("keep", [0, 3, 35, 99])
def test_keeps_as_many_images_as_asked_for(keep):
    result = evaluate(Enhance(lambda images: images), SCENES, BANK, TASK, keep=keep)
    assert torch.equal(result.outputs, SCENES.images[:keep])


class TestWhatTheCameraMade:
    def test_an_agent_may_ask_for_it(self):
        agent, cameras = Enhance(lambda images: images), torch.rand(5, 3, 16, 16)
        agent.sees = "camera"
        store = MemoryStore(torch.rand(5, 3, 16, 16), cameras, cameras)
        scenes = SceneSet(store, [str(i) for i in range(5)], ["p"] * 5, "test", "mine")
        assert evaluate(agent, scenes, BANK, TASK).metrics["psnr"] == 100

    def test_data_without_it(self):
        agent = Enhance(lambda images: images)
        agent.sees = "camera"
        with pytest.raises(UserError, match="needs camera JPEGs"):
            evaluate(agent, SCENES, BANK, TASK)


def test_an_agent_cannot_change_its_inputs():
    before = SCENES.images
    evaluate(Enhance(lambda images: images.mul_(0)), SCENES, BANK, TASK)
    assert torch.equal(SCENES.images, before)


def test_a_metric_that_is_not_defined_is_named():
    class Nowhere(type(TASK)):
        def meter(self):
            meter = super().meter()
            meter.measure = lambda images, scenes: {"psnr": torch.full((len(images),), torch.nan)}
            return meter

    with pytest.raises(
        UserError, match=r"psnr is not defined on the 40 validation scenes of data=photos.*scenes\.valid"
    ):
        evaluate(Enhance(lambda images: images), SCENES, BANK, Nowhere())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images: images[:, :1], "returned shape"),
        (lambda images: images * float("nan"), "NaN"),
    ],
)
def test_wrong_outputs_are_named(function, message):
    with pytest.raises(UserError, match=message):
        evaluate(Enhance(function), SCENES, BANK, TASK)
