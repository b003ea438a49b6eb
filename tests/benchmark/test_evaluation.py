import pytest
import torch

from isp_gym.benchmark.agent import Agent, as_agent
from isp_gym.benchmark.evaluation import evaluate
from isp_gym.data import MemoryStore, SceneSet
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.pipelines import Pipelines

SETTING = EnvConfig(num_scenes=40, image_size=16, split="validation")
SCENES, TASK, RULES = SETTING.load_scenes(), SETTING.make_task().unmetered, SETTING.rules
BANK = RULES.bank


class Answers(Agent):
    """Answers each image with the same modules by name, at the same parameter level, or with what a function says."""

    def __init__(self, *modules, level=0.6, answer=None):
        self.modules, self.level, self.answer = modules, level, answer

    def train(self, training):
        pass

    def pipelines(self, images):
        if self.answer is not None:
            return self.answer(images)
        tokens = torch.tensor([[BANK.names.index(name) for name in self.modules]]).repeat(len(images), 1)
        return tokens, torch.full((len(images), BANK.num_params), self.level)


class Enhance(Agent):
    def __init__(self, function):
        self.function = function

    def train(self, training):
        pass

    def enhance(self, images):
        return self.function(images)


def test_pipelines_are_applied_by_the_bank():
    result = evaluate(Answers("exposure", level=0.75), SCENES, RULES, TASK, keep=40)
    torch.testing.assert_close(result.outputs, SCENES.images * 2**1.75)
    assert len(result.pipelines) == 40 and result.pipelines.names(39) == ("exposure",)
    assert set(result.metrics) == set(result.per_scene) == {"psnr", "ssim"}
    assert result.row(3)["psnr"] == float(result.per_scene["psnr"][3]) and result.row(3)["sequence"] == ["exposure"]


class TestTheRulesHoldAtTestAsInTraining:
    """What was trained was once not what was tested: environments dropped a repeated module, the test ran it."""

    ASKED = ("gamma", "exposure", "exposure", "denoise", "denoise", "ccm")

    @pytest.mark.parametrize(
        ("changes", "executed"),
        [
            ({}, ["gamma", "exposure", "denoise", "ccm"]),
            ({"order": "typed"}, None),
            ({"repeats": True}, list(ASKED)),
        ],
    )
    def test_executed_recorded_and_made_again_are_the_same(self, changes, executed):
        setting = EnvConfig(num_scenes=3, image_size=16, split="validation", **changes)
        rules, scenes = setting.rules, setting.load_scenes()
        result = evaluate(Answers(*self.ASKED), scenes, rules, TASK, keep=3)
        env = setting.make_transition()
        tokens, params = Answers(*self.ASKED).pipelines(scenes.images)
        trained = env.play(env.scenes.batch([0, 1, 2]), tokens, params)
        assert torch.equal(result.outputs, trained.images)
        records = [result.row(i) for i in range(3)]
        assert torch.equal(Pipelines.from_records(rules, records)(scenes.images), result.outputs)
        assert executed is None or records[0]["sequence"] == executed
        assert len(records[0]["sequence"]) + result.pipelines.refused[0] == len(self.ASKED)
        assert (int(result.pipelines.refused[0]) > 0) == ("repeats" not in changes)

    def test_what_stands_after_an_end_token_is_neither_executed_nor_recorded(self):
        end = BANK.end_token
        tokens = torch.tensor([[1, end, 1, 0]])
        agent = Answers(answer=lambda x: (tokens.repeat(len(x), 1), BANK.neutral.repeat(len(x), 1)))
        assert evaluate(agent, SCENES, RULES, TASK).row(0)["sequence"] == [BANK.names[1]]

    def test_pipelines_made_by_other_rules_are_admitted_by_these(self):
        free = EnvConfig(num_scenes=3, image_size=16, repeats=True).rules
        made = lambda images: free.admit(*Answers("gamma", "gamma").pipelines(images))  # noqa: E731
        assert evaluate(Answers(answer=made), SCENES, RULES, TASK).row(0)["sequence"] == ["gamma"]

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (lambda x: Answers("gamma", level=1.5).pipelines(x), r"Answers.pipelines is wrong: params .*\[0, 1\]"),
            (lambda x: Answers("gamma", level=torch.nan).pipelines(x), r"params must be finite"),
            (lambda x: Answers("gamma").pipelines(x[:1]), "returned 1 on cpu for 32 images on cpu"),
            (lambda x: torch.zeros(len(x), 1), "pipelines is wrong"),
            (lambda x: None, "pipelines is wrong"),
        ],
    )
    def test_all_else_that_is_wrong_is_refused(self, answer, message):
        with pytest.raises(UserError, match=message):
            evaluate(Answers(answer=answer), SCENES, RULES, TASK)


def test_chunks_change_nothing():
    seen = []
    result = evaluate(Enhance(lambda images: seen.append(len(images)) or images), SCENES, RULES, TASK)
    assert seen == [32, 8] and result.pipelines is None
    whole = TASK.metric()
    torch.testing.assert_close(result.per_scene["psnr"], whole.update(SCENES.images, SCENES.batch(range(40)))["psnr"])
    assert result.metrics["psnr"] == pytest.approx(whole.compute()["psnr"])


@pytest.mark.parametrize("keep", [0, 3, 35, 99])
def test_keeps_as_many_images_as_asked_for(keep):
    result = evaluate(Enhance(lambda images: images), SCENES, RULES, TASK, keep=keep)
    assert torch.equal(result.outputs, SCENES.images[:keep])


class TestWhatIsObserved:
    @pytest.mark.parametrize("observes", ["camera", "target"])
    def test_an_agent_may_ask_for_it(self, observes):
        agent, pictures = Enhance(lambda images: images), torch.rand(5, 3, 16, 16)
        agent.observes = observes
        store = MemoryStore(torch.rand(5, 3, 16, 16), pictures, pictures)
        scenes = SceneSet(store, [str(i) for i in range(5)], ["p"] * 5, "test", "mine")
        assert evaluate(agent, scenes, RULES, TASK).metrics["psnr"] == 100

    def test_data_without_it(self):
        agent = Enhance(lambda images: images)
        agent.observes = "camera"
        with pytest.raises(UserError, match="Enhance needs camera JPEGs"):
            evaluate(agent, SCENES, RULES, TASK)


def test_an_agent_cannot_change_its_inputs():
    before = SCENES.images
    evaluate(Enhance(lambda images: images.mul_(0)), SCENES, RULES, TASK)
    assert torch.equal(SCENES.images, before)


def test_a_metric_that_is_not_defined_is_named():
    class Nowhere(type(TASK)):
        def metric(self):
            metric = super().metric()
            metric.measure = lambda images, scenes: {"psnr": torch.full((len(images),), torch.nan)}
            return metric

    with pytest.raises(
        UserError, match=r"psnr is not defined on the 40 validation scenes of data=photos.*scenes\.valid"
    ):
        evaluate(Enhance(lambda images: images), SCENES, RULES, Nowhere())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda images: images[:, :1], r"Mine.enhance returned shape \(32, 1, 16, 16\)"),
        (lambda images: None, "Mine.enhance returned shape NoneType"),
        (lambda images: images * float("nan"), "Mine made an image with NaN"),
    ],
)
def test_wrong_outputs_are_named_with_the_class(function, message):
    class Mine:
        def train(self, training):
            pass

        def enhance(self, images):
            return function(images)

    with pytest.raises(UserError, match=message):
        evaluate(as_agent(Mine(), "mine"), SCENES, RULES, TASK)
