import torch

from isp_gym.data import load_scenes

SCENES = load_scenes(count=6, image_size=16)


def same(one, other):
    return (
        torch.equal(one.images, other.images)
        and torch.equal(one.targets, other.targets)
        and (one.ids, one.indices) == (other.ids, other.indices)
    )


def test_rows_are_the_batch_of_these():
    assert same(SCENES.batch([5, 0, 3]).rows(torch.tensor([2, 0])), SCENES.batch([3, 5]))


def test_replace_rows_replaces_rows_in_place():
    batch = SCENES.batch([5, 0, 3])
    changed = batch.replace_rows(torch.tensor([2, 0]), SCENES.batch([1, 4]))
    assert same(changed, SCENES.batch([4, 0, 1]))
    assert changed.images is batch.images


def test_the_scene_set_is_out_of_reach():
    SCENES.batch([0, 1]).replace_rows(torch.tensor([0]), SCENES.batch([2]))
    assert same(SCENES.batch([0]), load_scenes(count=6, image_size=16).batch([0]))
