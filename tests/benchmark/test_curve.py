import pytest
import torch

from isp_gym.benchmark.agent import Agent
from isp_gym.benchmark.curve import Curve
from isp_gym.data.access import recording, seal
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError

VALIDATION = EnvConfig(num_scenes=3, image_size=16, split="validation")


class Bright(Agent):
    """Multiplies by a level, of which it may save another."""

    def __init__(self, level=1.0, saves=None):
        self.level, self.saves = torch.tensor([level]), saves

    def train(self, training):
        pass

    def enhance(self, images):
        torch.rand(1)
        return images * self.level

    def diagnostics(self):
        return {"level": float(self.level)}

    def state(self):
        return {"level": self.level if self.saves is None else torch.tensor([self.saves])}

    def load_state(self, state):
        self.level = state["level"]


class Unsaved:
    observes, makes_pipelines, can_be_saved = "raw", False, False

    def enhance(self, images):
        return images * 2

    def diagnostics(self):
        return {}


def load(folder):
    agent = Bright()
    agent.load(folder)
    return agent


@pytest.fixture
def curve(tmp_path):
    return Curve(VALIDATION, 10, tmp_path / "points", load)


def test_a_point_is_due_each_time_another_part_is_spent(curve):
    due = []
    for spent in (0, 3, 10, 31, 39, 40):
        if spent >= curve.due:
            due.append(spent)
            curve.measure(Bright(), spent)
    assert due == [0, 10, 31, 40] == [point["task_evaluations"] for point in curve.points]


def test_what_is_measured_is_what_was_saved(curve):
    """A policy was once evaluated with one weight, and saved with another."""
    honest, other = curve.measure(Bright(4.0), 0), curve.measure(Bright(4.0, saves=1.0), 10)
    assert curve.measure(Bright(1.0), 20)["psnr"] == other["psnr"] != honest["psnr"]
    assert honest["level"] == other["level"] == 4.0
    assert load(curve.saved(10)).level == 1.0


def test_an_agent_that_cannot_be_saved_is_measured_as_it_is(curve):
    assert curve.measure(Unsaved(), 0)["psnr"] == curve.measure(Bright(2.0), 10)["psnr"]
    assert not curve.saved(0).exists()


def test_a_point_takes_the_place_of_one_at_the_same_number(curve):
    curve.measure(Bright(1.0), 0)
    point = curve.measure(Bright(4.0), 0)
    assert curve.points == [point] and load(curve.saved(0)).level == 4.0


def test_the_best_is_the_last_of_several(curve):
    for spent, level in ((0, 1.0), (10, 4.0), (20, 1.0), (30, 4.0), (40, 1.0)):
        curve.measure(Bright(level), spent)
    assert curve.points[1]["psnr"] > curve.points[0]["psnr"] and curve.best()["task_evaluations"] == 30


def test_random_numbers_stay_as_they_were(curve):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    curve.measure(Bright(), 0)
    assert torch.equal(torch.rand(2), expected)


def test_test_scores_are_added_in_the_end(curve):
    test = EnvConfig(num_scenes=2, image_size=16, split="test")
    with seal("validation", "test"), recording() as reads:
        first, last = curve.measure(Bright(1.0), 0), curve.measure(Bright(4.0), 10)
        assert reads.counts == {"train": 0, "validation": 3, "test": 0}
        curve.add_test_scores(test)
    assert first["test_psnr"] != last["test_psnr"] and reads.counts["test"] == 2 and not any(reads.refusals.values())


def test_the_agent_itself_stays_sealed_out_while_it_is_measured(curve):
    class Peeks(Bright):
        def enhance(self, images):
            VALIDATION.load_scenes()
            return images

    curve._load = lambda folder: Peeks()
    with seal("validation"), pytest.raises(UserError, match="sealed"):
        curve.measure(Bright(), 0)


def test_goes_on_from_its_state(curve, tmp_path):
    curve.measure(Bright(), 0)
    other = Curve(VALIDATION, 10, tmp_path / "points", load)
    other.restore(curve.state())
    assert (other.points, other.due) == (curve.points, 10)
    other.points[0]["psnr"] = 0.0
    assert curve.points[0]["psnr"] != 0
