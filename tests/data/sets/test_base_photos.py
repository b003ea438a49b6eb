import numpy as np
import pytest
import torch

from isp_gym.data import load_scenes, registry
from isp_gym.data.sets.base_photos import make_scene

NOISE = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)


def pixels_of(scenes, k):
    return torch.cat([scenes[k].image, scenes[k].target])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_scene_k_does_not_depend_on_the_count(split):
    few, many = (load_scenes(split=split, count=count, image_size=8) for count in (3, 11))
    assert few.ids == many.ids[:3]
    assert all(torch.equal(pixels_of(few, k), pixels_of(many, k)) for k in range(3))


def test_scenes_go_round_the_photos():
    scenes = load_scenes(split="train", count=12, image_size=8)
    assert len(set(scenes.photos[:6])) == 6
    assert scenes.photos[6:] == scenes.photos[:6]
    assert scenes.ids == tuple(f"train/{photo}/{k}" for k, photo in enumerate(scenes.photos))


def test_every_scene_is_another():
    scenes = load_scenes(split="validation", count=6, image_size=8)
    targets = {scene.target.numpy().tobytes() for scene in scenes}
    assert len(targets) == 6


def test_same_seed_same_scenes_another_seed_other_scenes():
    first, other = (load_scenes(count=5, image_size=8, seed=seed) for seed in (0, 1))
    registry._load.cache_clear()
    again = load_scenes(count=5, image_size=8, seed=0)
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.targets, again.targets)
    assert first.ids == again.ids == other.ids
    for k in range(5):
        assert not torch.equal(first[k].image, other[k].image)
        assert not torch.equal(first[k].target, other[k].target)


@pytest.mark.parametrize("size", [1, 7, 40, 64])
def test_image_size(size):
    image, target = make_scene(NOISE, ("seed",), size)
    for tensor in (image, target):
        assert tensor.shape == (3, size, size)
        assert tensor.dtype == torch.float32
        assert tensor.is_contiguous()
        assert 0 <= tensor.min() <= tensor.max() <= 1


def test_a_scene_depends_on_its_seed_only():
    before = NOISE.copy()
    first = make_scene(NOISE, ("train", "photo", 3, 0), 8)
    np.random.rand(5)
    torch.rand(5)
    assert all(map(torch.equal, first, make_scene(NOISE, ("train", "photo", 3, 0), 8)))
    assert np.array_equal(NOISE, before)
    for change in [{0: "test"}, {1: "other"}, {2: 4}, {3: 1}]:
        seed = [change.get(i, part) for i, part in enumerate(["train", "photo", 3, 0])]
        assert not torch.equal(first[1], make_scene(NOISE, seed, 8)[1])


def test_scenes_are_the_same_in_every_process_and_version():
    # A hash that is salted for each process, or another order of draws, would make results impossible to compare.
    means = [float(part.mean()) for part in make_scene(NOISE, ("train", "photo", 3, 0), 8)]
    assert means == pytest.approx([0.0263, 0.4847], abs=1e-3)


def test_parts_of_a_seed_do_not_run_together():
    assert not torch.equal(make_scene(NOISE, ("a", "bc"), 8)[1], make_scene(NOISE, ("ab", "c"), 8)[1])


class TestCrop:
    @staticmethod
    def targets(pixels, size, count=60):
        return [make_scene(pixels, (k,), size)[1] for k in range(count)]

    def test_it_lies_anywhere_and_is_mirrored_every_other_time(self):
        # Red says how far to the right, green how far down.
        down, right = np.mgrid[0:240, 0:240].astype(np.uint8)
        ramp = np.stack([right, down, np.zeros_like(down)], axis=2)
        crops = self.targets(ramp, 24)
        mirrored = [bool(crop[0, 0, 0] > crop[0, 0, -1]) for crop in crops]
        assert 20 < sum(mirrored) < 40
        assert all(crop[1, 0, 0] < crop[1, -1, 0] for crop in crops), "never upside down"
        for channel in (0, 1):
            assert min(float(crop[channel].min()) for crop in crops) < 0.05
            assert max(float(crop[channel].max()) for crop in crops) > 0.9
        sides = np.array([float(crop[1].max() - crop[1].min()) * 255 for crop in crops])
        assert sides.min() < 40
        assert sides.max() > 150
        assert np.median(sides) == pytest.approx(np.sqrt(24 * 240), rel=0.35), "the side is log-uniform"

    def test_shrinking_averages(self):
        board = ((np.indices((128, 128)).sum(0) % 2) * 255).astype(np.uint8)[..., None].repeat(3, axis=2)
        targets = [crop for crop in self.targets(board, 8) if crop.std() > 0]
        assert all(abs(float(crop.mean()) - 0.5) < 0.1 for crop in targets)
        assert np.median([float(crop.std()) for crop in targets]) < 0.15

    def test_a_photo_of_just_the_size_is_taken_as_it_is(self):
        square = NOISE[:, :40]
        target = (make_scene(square, ("x",), 40)[1].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        assert np.array_equal(target, square) or np.array_equal(target, square[:, ::-1])

    @pytest.mark.parametrize("shape", [(1, 1), (1, 90), (90, 1), (5, 4)])
    def test_smaller_photos_are_enlarged(self, shape):
        target = make_scene(np.full((*shape, 3), 51, np.uint8), ("x",), 16)[1]
        torch.testing.assert_close(target, torch.full((3, 16, 16), 0.2))

    @pytest.mark.parametrize(("dtype", "level"), [(np.uint8, 51), (np.uint16, 13107)])
    def test_the_depth_sets_the_scale(self, dtype, level):
        target = make_scene(np.full((9, 9, 3), level, dtype), ("x",), 8)[1]
        torch.testing.assert_close(target, torch.full((3, 8, 8), 0.2))

    def test_channels_keep_their_order(self):
        target = make_scene(np.full((9, 9, 3), (0, 102, 204), np.uint8), ("x",), 8)[1]
        torch.testing.assert_close(target.mean((1, 2)), torch.tensor([0.0, 0.4, 0.8]))

    def test_the_camera_does_not_depend_on_the_crop(self):
        sizes = {size: make_scene(np.full((50, 50, 3), 200, np.uint8), ("x",), size)[0] for size in (30, 40)}
        torch.testing.assert_close(sizes[30].mean((1, 2)), sizes[40].mean((1, 2)), atol=5e-3, rtol=0)
