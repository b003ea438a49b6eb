import pytest
import torch

from isp_gym.data import MemoryStore, Objects, SceneSet
from isp_gym.errors import UserError
from isp_gym.tasks import TASKS, Detection, Segmentation, get_task
from isp_gym.testing import check_task


def everything(scene_set):
    return scene_set.batch(range(len(scene_set)))


def test_is_sound(squares, scenes, scene_set):
    check_task(Segmentation(squares), scene_set(everything(scenes).objects, light=0.24))


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_is_sound_with_the_network_and_the_data_that_come_with_the_package(task):
    check_task(get_task(task))


def test_outlines_count(squares, scenes):
    batch = everything(scenes)
    masks = squares.losses(batch.images, batch.objects)["mask"]
    detection, segmentation = Detection(squares), Segmentation(squares)
    torch.testing.assert_close(segmentation.loss(batch.images, batch), detection.loss(batch.images, batch) + masks)
    assert Segmentation(squares, losses=["box"]).weights == {"box": 1.0}


def test_measures_boxes_and_masks(squares, scenes):
    metric, batch = Segmentation(squares).metric(), everything(scenes)
    images = batch.images.clone()
    images[:, :, 6:8] = 0  # of squares in the first row, whose boxes are found as before, a quarter is not seen
    rows = metric.update(images, batch)
    assert rows["box_map"][0].item() == pytest.approx(1) and rows["mask_map"][0].item() == pytest.approx(0.8)
    result = metric.compute()
    assert set(result) == {f"{kind}_{name}" for kind in ("box", "mask") for name in ("map", "map50", "map75")}
    assert result["mask_map"] < result["box_map"] and result["mask_map50"] == pytest.approx(1)


class TestFaults:
    def test_a_network_without_masks(self, squares, scenes):
        squares.loss_names = ("box", "class")
        with pytest.raises(UserError, match=r"Squares predicts boxes only; use task=detection"):
            Segmentation(squares).loss(scenes.images, everything(scenes))

    def test_data_without_masks(self, squares, objects, scene_set):
        batch = everything(scene_set([objects([(0, 0, 0)]), objects([(0, 0, 0)], masks=False)]))
        for scored in (Segmentation(squares).loss, Segmentation(squares).metric().update):
            with pytest.raises(UserError, match=r"scene 'test/1' has boxes only; .* or task=detection"):
                scored(batch.images, batch)

    def test_scenes_that_do_not_say_what_is_in_them(self, squares):
        scenes = SceneSet(MemoryStore(torch.rand(1, 3, 32, 32)), ["test/0"], ["0"], "test", "mine")
        with pytest.raises(UserError, match="task 'segmentation' needs ground-truth objects"):
            Segmentation(squares).loss(scenes.images, everything(scenes))


def test_where_there_is_nothing_masks_are_not_missed(squares, objects, scene_set):
    nothing = Objects(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), ("red",))
    batch = everything(scene_set([nothing, objects([(0, 0, 0)])]))
    task = Segmentation(squares)
    assert task.loss(batch.images, batch).isfinite().all()
    assert task.metric().update(batch.images, batch)["mask_map"].isnan().tolist() == [True, False]


def test_names():
    assert TASKS["segmentation"] is Segmentation and Segmentation.score == "mask_map"
    assert Segmentation.default_data == "synthetic" and Segmentation.takes_network
