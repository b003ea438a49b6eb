import pytest
import torch
from torch import nn

from isp_gym.data import Objects
from isp_gym.envs.transition import Transition
from isp_gym.errors import UserError
from isp_gym.modules import get_bank
from isp_gym.pipelines import Rules
from isp_gym.rewards import TerminalReward
from isp_gym.tasks import TASKS, Detection, default_data, get_task
from isp_gym.testing import check_task


def everything(scene_set):
    return scene_set.batch(range(len(scene_set)))


class TestLoss:
    def test_is_the_weighted_sum_of_the_networks_losses(self, squares, scenes):
        batch = everything(scenes)
        losses = squares.losses(batch.images, batch.objects)
        for wanted, weights in (
            (None, {"box": 1, "objectness": 1, "class": 1}),
            (["box", "class"], {"box": 1, "class": 1}),
            ({"objectness": 2.5, "mask": -1}, {"objectness": 2.5, "mask": -1}),
        ):
            expected = sum(losses[name] * weight for name, weight in weights.items())
            torch.testing.assert_close(Detection(squares, losses=wanted).loss(batch.images, batch), expected)

    def test_has_by_default_what_the_network_has(self, squares):
        squares.loss_names = ("class", "mask")
        assert Detection(squares).weights == {"class": 1.0}

    def test_is_sound(self, squares, scenes, scene_set):
        batch = everything(scenes)
        check_task(Detection(squares), scene_set(batch.objects, light=0.24))

    def test_of_an_image_is_that_of_a_batch_of_one(self, squares, scenes):
        batch, task = everything(scenes), Detection(squares)
        whole = task.loss(batch.images, batch)
        for i in range(len(scenes)):
            torch.testing.assert_close(task.loss(batch.images[i : i + 1], scenes.batch([i])), whole[i : i + 1])

    def test_of_an_empty_image_is_finite(self, squares, objects, scene_set):
        batch = everything(scene_set([objects([])]))
        images = batch.images.requires_grad_()
        loss = Detection(squares).loss(images, batch)
        loss.sum().backward()
        assert loss.isfinite().all() and images.grad.isfinite().all() and images.grad.any()

    def test_crowd_regions_are_ignored(self, squares, objects, scene_set):
        places = [(0, 0, 0), (2, 2, 1)]
        task, pixels = Detection(squares), everything(scene_set([objects(places)])).images
        crowd = everything(scene_set([objects(places, crowd=[False, True])]))
        alone = everything(scene_set([objects(places[:1])]))
        assert torch.equal(task.loss(pixels, crowd), task.loss(pixels, alone))
        assert not torch.equal(task.loss(pixels, crowd), task.loss(pixels, everything(scene_set([objects(places)]))))

    def test_classes_go_by_name(self, squares, scenes, objects, scene_set):
        places = [(0, 0, 0), (2, 1, 1)]
        swapped = objects([(x, y, 1 - label) for x, y, label in places], classes=("GREEN", "red"))
        pixels, task = scenes.batch([0]).images, Detection(squares)
        assert torch.equal(task.loss(pixels, scenes.batch([0])), task.loss(pixels, everything(scene_set([swapped]))))


class TestFrozen:
    def test_gradients_reach_pixels_and_not_weights(self, squares, scenes):
        batch = everything(scenes)
        images = (0.5 * batch.images).requires_grad_()
        Detection(squares).loss(images, batch).sum().backward()
        assert images.grad.flatten(1).any(1).all()
        assert all(weight.grad is None and not weight.requires_grad for weight in squares.net.parameters())

    def test_training_what_holds_the_task_leaves_it_as_it_is(self, squares, scenes):
        class Learner(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer, self.task = nn.Linear(1, 1), Detection(squares)

        learner = Learner().train().requires_grad_()
        learner.task.loss(scenes.images, everything(scenes))
        assert not squares.net.training and not any(w.requires_grad for w in squares.net.parameters())
        assert len(list(learner.parameters())) == 2

    def test_measuring_needs_no_gradients(self, squares, scenes):
        images = scenes.images.requires_grad_()
        metrics = Detection(squares).metric().update(images, everything(scenes))
        assert not any(values.requires_grad for values in metrics.values())


class TestMetric:
    def test_is_right_about_squares_that_can_be_seen_through(self, squares, scenes):
        metric, batch = Detection(squares).metric(), everything(scenes)
        rows = metric.update(batch.images, batch)
        assert rows["box_map"].tolist() == pytest.approx([1, 1, torch.nan, 1], nan_ok=True)
        assert metric.compute() == pytest.approx({"box_map": 1, "box_map50": 1, "box_map75": 1})

    @pytest.mark.filterwarnings("ignore:the network of task")
    def test_falls_with_the_light(self, squares, scenes):
        batch, task = everything(scenes), Detection(squares)
        scores = []
        for light in ([1, 1, 1, 1], [1, 1, 1, 0.2], [0, 0, 0, 0]):
            metric = task.metric()
            metric.update(batch.images * torch.tensor(light)[:, None, None, None], batch)
            scores.append(metric.compute()["box_map"])
        assert scores[0] == pytest.approx(1) and 0 < scores[1] < 1 and scores[2] == 0

    @pytest.mark.filterwarnings("ignore:the network of task")
    def test_sees_what_the_loss_sees(self, squares, scenes):
        batch, task = everything(scenes), Detection(squares)
        scores = []
        for images in (batch.images * 9, (batch.images * 9).clamp(0, 1)):  # white nearly everywhere
            metric = task.metric()
            metric.update(images, batch)
            scores.append(metric.compute()["box_map"])
        assert scores == [0, 0]
        assert torch.equal(
            task.draw_predictions(batch.images * 9), task.draw_predictions((batch.images * 9).clamp(0, 1))
        )

    def test_one_line_says_that_nothing_was_predicted(self, squares, scenes, recwarn):
        batch, metric = everything(scenes), Detection(squares).metric()
        for _ in range(3):
            metric.update(batch.images * 0, batch)
        assert metric.compute()["box_map"] == 0
        (hint,) = recwarn
        assert "predicted no object in any of 12 images" in str(hint.message) and "\n" not in str(hint.message)
        for remedy in ("'camera'", "image_size (32)", "score threshold"):
            assert remedy in str(hint.message)

    def test_one_line_says_that_no_class_is_right(self, squares, objects, scene_set, recwarn):
        shown, asked = (everything(scene_set([objects([(0, 0, label)])])) for label in (0, 1))
        metric = Detection(squares).metric()
        metric.update(shown.images, asked)
        metric.compute()
        (hint,) = recwarn
        assert str(hint.message).endswith("say how with task_options.classes") and "(GREEN, ...)" in str(hint.message)

    def test_without_objects_or_with_one_prediction_there_is_no_hint(self, squares, objects, scene_set, recwarn):
        for places in ([], [(0, 0, 0)]):
            metric, batch = Detection(squares).metric(), everything(scene_set([objects(places), objects([])]))
            metric.update(batch.images, batch)
            metric.compute()
        assert not recwarn.list

    def test_parts_make_a_whole(self, squares, scenes):
        task = Detection(squares)
        whole, parts, images = task.metric(), task.metric(), scenes.images * 0.27
        whole.update(images, everything(scenes))
        for part in ([0], [1, 2], [3]):
            parts.update(images[part], scenes.batch(part))
        assert parts.compute() == whole.compute()


class TestOptions:
    def test_names(self):
        assert TASKS["detection"] is Detection and Detection.score == "box_map"
        assert default_data("detection:yolo11n.pt") == "synthetic" and default_data("enhancement") == "photos"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"losses": "box"}, "task_options.losses must be names"),
            ({"losses": []}, "task_options.losses must be names"),
            ({"losses": {"box": "much"}}, "weight of 'box' must be a finite number, not 'much'"),
            ({"losses": {"box": float("nan")}}, "weight of 'box'"),
            ({"classes": ["car"]}, "task_options.classes must map"),
            ({"loss": "box"}, "does not take its options"),
        ],
    )
    def test_wrong_forms_are_named_before_anything_is_loaded(self, options, message):
        with pytest.raises(UserError, match=message) as error:
            get_task("detection:no/such/network.pt", options)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"losses": ["bxo"]}, "unknown loss of the network 'bxo'; did you mean 'box'"),
            ({"classes": {"blue": "rad"}}, "unknown class of the network 'rad'; did you mean 'red'"),
            ({"classes": {"bleu": "green"}}, "unknown class of the data 'bleu'; did you mean 'blue'"),
        ],
    )
    def test_what_the_network_lacks_is_named(self, squares, scenes, options, message):
        with pytest.raises(UserError, match=message) as error:
            Detection(squares, **options).loss(scenes.images, everything(scenes))
        assert "\n" not in str(error.value)

    def test_a_network_that_is_not_there(self, scenes):
        with pytest.raises(UserError, match=r"no/such/network\.safetensors"):
            get_task("detection:no/such/network.safetensors").loss(scenes.images, everything(scenes))

    def test_a_class_that_the_network_does_not_know(self, squares, objects, scene_set):
        batch = everything(scene_set([objects([(0, 0, 0)]), objects([(1, 1, 2), (0, 0, 0)])]))
        for scored in (Detection(squares).loss, Detection(squares).metric().update):
            with pytest.raises(UserError, match=r"scene 'test/1' holds a 'blue'"):
                scored(batch.images, batch)
        without = everything(scene_set([objects([(0, 0, 0)]), objects([(0, 0, 0)])]))
        task = Detection(squares, classes={"blue": None})
        assert torch.equal(task.loss(batch.images, batch), task.loss(batch.images, without))

    def test_scenes_that_do_not_say_what_is_in_them(self, squares):
        from isp_gym.data import load_scenes

        batch = load_scenes("skimage", count=1, image_size=32).batch([0])
        with pytest.raises(UserError, match=r"use data with objects \(synthetic, coco:PATH"):
            Detection(squares).loss(batch.images, batch)


def test_the_terminal_reward_is_the_fall_of_the_loss(squares, objects, scene_set):
    """Eq. 3, with scenes made when they are asked for."""
    from isp_gym.data import LazyStore, SceneSet

    made = scene_set([objects([(0, 0, 0)]), objects([(1, 1, 1)])], light=0.3)
    lazy = SceneSet(LazyStore(made.__getitem__, 2), made.ids, made.photos, "test", "squares")
    bank, task = get_bank("stable", ("exposure",)), Detection(squares)
    transition = Transition(lazy, Rules(bank, 1), task, TerminalReward())
    batch = lazy.batch([1, 0, 1])
    params = torch.full((3, 1), 0.75, requires_grad=True)
    outcome = transition.play(batch, torch.zeros(3, 1, dtype=torch.int64), params)
    fall = task.loss(batch.images, batch) - task.loss(outcome.images, batch)
    torch.testing.assert_close(outcome.reward, fall)
    assert (outcome.reward > 0).all() and isinstance(batch.objects[0], Objects)
    outcome.reward.sum().backward()
    assert params.grad.all()
