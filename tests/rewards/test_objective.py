import dataclasses

import pytest
import torch

from isp_gym.data import load_scenes
from isp_gym.envs.config import EnvConfig
from isp_gym.errors import UserError
from isp_gym.rewards import Objective
from isp_gym.tasks import Enhancement
from isp_gym.testing import check_task

SCENES = load_scenes(count=4, image_size=32)
BATCH = SCENES.batch(range(4))
IMAGES = (BATCH.images * 5).clamp(0, 1)


def objective(**weights):
    return Objective(Enhancement(), weights)


def test_it_is_a_task():
    check_task(objective(gradient=1.0, entropy=0.5, eme=0.5, exposedness=1, gray_world=1, anchor=0.2), SCENES)


def test_loss_is_minus_the_weighted_sum():
    alone = [objective(**{name: 1.0}).loss(IMAGES, BATCH) for name in ("entropy", "anchor")]
    torch.testing.assert_close(objective(entropy=2.0, anchor=-0.5).loss(IMAGES, BATCH), 2 * alone[0] - 0.5 * alone[1])


def test_loss_is_the_mean_of_its_map():
    made = objective(gradient=1.0, gray_world=1.0)
    assert made.loss_map(IMAGES, BATCH).shape == (4, 32, 32)
    torch.testing.assert_close(made.loss(IMAGES, BATCH), made.loss_map(IMAGES, BATCH).mean(dim=(1, 2)))


def test_fidelity_is_the_enhancement_task():
    torch.testing.assert_close(objective(fidelity=1.0).loss(IMAGES, BATCH), Enhancement().loss(IMAGES, BATCH))


def test_the_task_is_measured_too():
    made, metric = objective(entropy=1.0), objective(entropy=1.0).metric()
    assert (made.name, made.score) == ("enhancement", "psnr")
    expected, found = Enhancement().metric().update(IMAGES, BATCH), metric.update(IMAGES, BATCH)
    assert all(torch.equal(found[key], value) for key, value in expected.items())
    torch.testing.assert_close(found["objective"], -made.loss(IMAGES, BATCH).double())
    assert made.score_in(metric.compute()) == "psnr"


def test_without_targets_the_objective_is_what_is_measured():
    blind, made = dataclasses.replace(BATCH, targets=None), objective(entropy=1.0)
    metric = made.metric()
    assert set(metric.update(IMAGES, blind)) == {"objective"}
    assert metric.compute()["objective"] == pytest.approx(-float(made.loss(IMAGES, blind).mean()))
    assert made.score_in(metric.compute()) == "objective"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"entropie": 1.0}, "entropy"),
        ({"entropy": float("nan")}, "finite"),
        ({"entropy": "much"}, "finite"),
        ({"entropy": True}, "finite"),
        ({}, "at least one"),
    ],
)
def test_a_missing_or_senseless_reward_is_an_error_not_a_silent_change(weights, message):
    with pytest.raises(UserError, match=message):
        EnvConfig.of({"objective": weights})


def test_kept_statistics_follow_inputs_that_are_replaced_in_place():
    made, scenes = objective(gradient=1.0, anchor=1.0), SCENES.batch(range(4))
    made.loss(IMAGES, scenes)
    scenes.images[1] = scenes.images[1].flip(-1) * 0.5
    torch.testing.assert_close(made.loss(IMAGES, scenes), objective(gradient=1.0, anchor=1.0).loss(IMAGES, scenes))


def test_drawings_stay_those_of_the_task():
    class Drawing(Enhancement):
        def draw_predictions(self, images):
            return images + 1

        def draw_ground_truth(self, images, scenes):
            return images + 2

    made = Objective(Drawing(), {"entropy": 1.0})
    assert torch.equal(made.draw_predictions(IMAGES), IMAGES + 1)
    assert torch.equal(made.draw_ground_truth(IMAGES, BATCH), IMAGES + 2)


def test_it_has_maps_and_a_task_alone_has_none():
    assert objective(entropy=1.0).has_maps
    assert not Enhancement().has_maps
    with pytest.raises(UserError, match="'enhancement' has no reward map"):
        Enhancement().loss_map(IMAGES, BATCH)
