import torch

from isp_gym.networks import Detections
from isp_gym.tasks import Detection, get_task
from isp_gym.tasks.drawing import draw_detections, draw_objects

GRAY = torch.full((3, 32, 32), 0.5)


def changed(picture, to=0.5):
    """Where a picture of gray is not gray, (H, W)."""
    return ((picture - to).abs() > 0.02).any(0)


def test_small_images_are_enlarged_by_a_whole_factor(objects):
    nothing = objects([])
    for side, shown in ((32, 256), (100, 300), (256, 256), (300, 300)):
        image = torch.rand(3, side, side)
        picture = draw_objects(image, nothing)
        assert picture.shape == (3, shown, shown)
        factor = shown // side
        torch.testing.assert_close(picture[:, ::factor, ::factor], image, atol=0.003, rtol=0)
    assert draw_objects(GRAY * 9, nothing).max() == 1


def test_a_box_lies_where_the_object_is(objects):
    drawn = changed(draw_objects(GRAY, objects([(2, 2, 0)], masks=False)))
    rows, columns = drawn.any(1).nonzero(), drawn.any(0).nonzero()
    assert abs(int(columns.min()) - 128) <= 3 and abs(int(rows.max()) - 192) <= 3
    assert not drawn[140:180, 140:180].any()  # nothing inside the box


def test_masks_are_translucent(objects):
    picture = draw_objects(GRAY, objects([(2, 2, 0)]))
    inside = picture[:, 140:180, 140:180]
    assert changed(inside).all() and (inside - inside[:, :1, :1]).abs().max() < 0.01
    bright = draw_objects(GRAY * 2, objects([(2, 2, 0)]))[:, 140:180, 140:180]
    assert (bright > inside).all()


def test_classes_have_names_and_colours_of_their_own(objects):
    pictures = [draw_objects(GRAY, objects([(2, 2, label)], masks=False)) for label in (0, 1)]
    assert not torch.equal(*pictures)
    crowd = draw_objects(GRAY, objects([(2, 2, 0)], masks=False, crowd=[True]))
    assert not torch.equal(crowd, pictures[0])


def test_what_is_not_sure_is_not_drawn():
    found = Detections(torch.tensor([[4.0, 16, 12, 24]] * 2), torch.tensor([0.9, 0.2]), torch.tensor([0, 1]))
    unsure = Detections(found.boxes[1:], found.scores[1:], found.labels[1:])
    sure = Detections(found.boxes[:1], found.scores[:1], found.labels[:1])
    names = ("one", "two")
    assert not changed(draw_detections(GRAY, unsure, names)).any()
    assert torch.equal(draw_detections(GRAY, found, names), draw_detections(GRAY, sure, names))
    assert changed(draw_detections(GRAY, sure, names)).any()


def test_a_name_stays_in_the_picture():
    corner = Detections(torch.tensor([[30.0, 0, 32, 2]]), torch.tensor([0.9]), torch.tensor([0]))
    drawn = changed(draw_detections(GRAY, corner, ("a name as long as the picture is",)))
    assert drawn[2:10, 100:].sum() > 300


class TestTasks:
    def test_detection_draws_what_is_found_and_what_is_to_be_found(self, squares, scenes):
        task, batch = Detection(squares), scenes.batch([0, 2])
        found, truth = task.draw_predictions(batch.images), task.draw_ground_truth(batch.images, batch)
        assert found.shape == truth.shape == (2, 3, 256, 256)
        plain = batch.images[1].repeat_interleave(8, 1).repeat_interleave(8, 2)
        torch.testing.assert_close(found[1], plain, atol=0.003, rtol=0)  # nothing there, and nothing found
        assert not torch.equal(found[0], truth[0])  # which has no scores
        dark = task.draw_predictions(batch.images * 0.1)[0]
        assert torch.equal(dark, draw_objects(batch.images[0] * 0.1, batch.objects[1]))

    def test_enhancement_draws_nothing(self, scenes):
        images, task = scenes.images, get_task("enhancement")
        assert torch.equal(task.draw_predictions(images), images)
        assert torch.equal(task.draw_ground_truth(images, scenes.batch(range(4))), images)
