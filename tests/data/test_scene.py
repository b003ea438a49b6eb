import copy
import pickle

import pytest
import torch

from isp_gym.data import MemoryStore, SceneSet, load_scenes
from isp_gym.errors import UserError


@pytest.fixture
def scenes():
    return load_scenes(split="test", count=5, image_size=8)


def tensors(scenes):
    """All ways to get at pixels."""
    batch, scene = scenes.batch([2, 0]), scenes[2]
    return [scenes.images, scenes.targets, batch.images, batch.targets, scene.image, scene.target]


def test_shapes_and_ranges(scenes):
    assert len(scenes) == len(scenes.ids) == len(scenes.photos) == 5
    for image in (scenes.images, scenes.targets):
        assert image.shape == (5, 3, 8, 8)
        assert image.dtype == torch.float32
        assert image.min() >= 0
        assert image.max() <= 1


def test_what_is_handed_out_can_be_overwritten_without_harm(scenes):
    before = [tensor.clone() for tensor in tensors(scenes)]
    for tensor in tensors(scenes):
        tensor.fill_(7)
    assert all(torch.equal(a, b) for a, b in zip(before, tensors(scenes), strict=True))


def test_batch_holds_the_scenes_asked_for(scenes):
    batch = scenes.batch([3, 0, 3, -1])
    assert len(batch) == 4
    assert batch.indices == (3, 0, 3, 4)
    assert batch.ids == tuple(scenes.ids[i] for i in batch.indices)
    for k, i in enumerate(batch.indices):
        assert torch.equal(batch.images[k], scenes[i].image)
        assert torch.equal(batch.targets[k], scenes[i].target)
        assert batch.ids[k] == scenes[i].id


def test_a_scene_twice_in_a_batch_is_two_copies(scenes):
    batch = scenes.batch([1, 1])
    batch.images[0] = 9
    assert torch.equal(batch.images[1], scenes[1].image)


def test_an_empty_batch(scenes):
    batch = scenes.batch([])
    assert len(batch) == 0
    assert batch.images.shape == (0, 3, 8, 8)


def test_a_tensor_of_indices(scenes):
    indices = torch.tensor([4, 1])
    assert scenes.batch(indices).ids == (scenes.ids[4], scenes.ids[1])
    assert indices.tolist() == [4, 1]


@pytest.mark.parametrize("index", [5, -6, 100])
def test_out_of_range(scenes, index):
    for pick in (lambda: scenes[index], lambda: scenes.batch([0, index])):
        with pytest.raises(IndexError, match=rf"{index} of 5"):
            pick()


@pytest.mark.parametrize("index", [1.0, "1", None, True, torch.tensor(1.0)])
def test_positions_are_whole_numbers(scenes, index):
    with pytest.raises(TypeError):
        scenes.batch([index])


def test_a_mask_is_no_list_of_positions(scenes):
    with pytest.raises(TypeError, match="True or False"):
        scenes.batch(torch.tensor([True, False, True, False, True]))


def test_iterating_yields_every_scene(scenes):
    assert [scene.id for scene in scenes] == list(scenes.ids)


class TestIndex:
    def test_positions_of_ids(self, scenes):
        assert [scenes.index(scene_id) for scene_id in scenes.ids] == [0, 1, 2, 3, 4]

    def test_an_id_of_another_split_is_told(self, scenes):
        train = load_scenes(split="train", count=1, image_size=8)
        with pytest.raises(UserError, match=r"is a train scene: this set holds the 5 test scenes of data=photos") as e:
            scenes.index(train.ids[0])
        assert "\n" not in str(e.value)

    @pytest.mark.parametrize("scene_id", ["test/coffee.png/99", "nonsense", "", 3])
    def test_an_unknown_id_is_told(self, scenes, scene_id):
        with pytest.raises(UserError, match="is no scene of it") as caught:
            scenes.index(scene_id)
        assert scenes.ids[0] in str(caught.value)


class TestTo:
    def test_the_same_scenes(self, scenes):
        moved = scenes.to(torch.device("cpu"))
        assert moved.ids == scenes.ids
        assert (moved.split, moved.data, moved.photos) == (scenes.split, scenes.data, scenes.photos)
        assert torch.equal(moved.images, scenes.images)

    def test_another_device(self, scenes):
        batch = scenes.to("meta").batch([0, 1])
        assert batch.images.device.type == batch.targets.device.type == "meta"
        assert scenes.images.device.type == "cpu"

    def test_overwriting_it_leaves_the_original(self, scenes):
        before = scenes.images
        for tensor in tensors(scenes.to("cpu")):
            tensor.fill_(7)
        assert torch.equal(scenes.images, before)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda scenes: pickle.loads(pickle.dumps(scenes))])
def test_copies_stand_on_their_own(scenes, duplicate):
    other = duplicate(scenes)
    assert other.ids == scenes.ids
    assert torch.equal(other.images, scenes.images)


def test_repr_says_what_it_is(scenes):
    assert repr(scenes) == "SceneSet('photos', test, 5 scenes)"


WRONG = {
    "images of another size": {"images": torch.zeros(2, 3, 5, 5)},
    "one image": {"images": torch.zeros(1, 3, 4, 4), "targets": torch.zeros(1, 3, 4, 4)},
    "no batch": {"images": torch.zeros(3, 4, 4), "targets": torch.zeros(3, 4, 4)},
    "too few photos": {"photos": ["p"]},
    "two ids alike": {"ids": ["a", "a"]},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_parts_must_go_together(change):
    good = {
        "images": torch.zeros(2, 3, 4, 4),
        "targets": torch.zeros(2, 3, 4, 4),
        "ids": ["a", "b"],
        "photos": ["p", "p"],
    }

    def make(images, targets, ids, photos):
        return SceneSet(MemoryStore(images, targets), ids, photos, "train", "mine")

    assert len(make(**good)) == 2
    with pytest.raises(ValueError):
        make(**{**good, **change})
