import hashlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from isp_gym.data import load_scenes
from isp_gym.data.synthetic.render import draw_layout, render
from isp_gym.data.synthetic.scenes import CLASSES, VERSION, make_scene
from isp_gym.data.synthetic.shapes import SHAPES
from isp_gym.errors import UserError


class TestShapes:
    @pytest.mark.parametrize("name", SHAPES)
    @pytest.mark.parametrize("variant", [0.0, 0.5, 1.0])
    def test_each_just_fits_into_the_unit_circle(self, name, variant):
        line = np.linspace(-1.2, 1.2, 481, dtype=np.float32)
        u, v = np.meshgrid(line, line)
        radius = np.hypot(u, v)[SHAPES[name](u, v, variant)]
        assert 0.98 <= radius.max() <= 1.001

    def test_each_looks_different(self):
        line = np.linspace(-1, 1, 65, dtype=np.float32)
        u, v = np.meshgrid(line, line)
        masks = [shape(u, v, 0.5) for shape in SHAPES.values()]
        for i, one in enumerate(masks):
            for other in masks[:i]:
                assert (one & other).sum() / (one | other).sum() < 0.8


class TestScenes:
    @settings(max_examples=10, deadline=None)
    @given(st.sampled_from(["train", "test"]), st.integers(0, 10**6), st.sampled_from([32, 48, 100]))
    def test_objects_are_what_is_to_be_seen_of_them(self, split, k, size):
        scene = make_scene(split, k, size)
        objects = scene.objects
        assert 1 <= len(objects) <= 7 and objects.classes == CLASSES
        assert objects.masks.shape == (len(objects), size, size) and objects.masks.flatten(1).any(1).all()
        assert (objects.boxes >= 0).all() and (objects.boxes <= size).all()
        for box, mask in zip(objects.boxes, objects.masks, strict=True):
            rows, columns = mask.any(1).nonzero(), mask.any(0).nonzero()
            tight = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            beyond = (tight - box) * torch.tensor([-1, -1, 1, 1])
            # Pixels that are covered by half or less are not the object's: the tip of a star, say.
            assert beyond.max() <= 1.0 and beyond.min() >= -0.1 * size
        # A pixel that two objects cover by half belongs to both; hardly any is.
        assert (objects.masks.sum(0) > 1).float().mean() < 0.01

    def test_the_same_scene_at_any_size(self):
        small, large = make_scene("train", 3, 64), make_scene("train", 3, 128)
        torch.testing.assert_close(small.objects.boxes * 2, large.objects.boxes)
        torch.testing.assert_close(F.avg_pool2d(large.target, 2), small.target, atol=1e-5, rtol=0)
        huge = make_scene("train", 3, 320)
        assert (huge.objects.boxes / 2.5 - large.objects.boxes).abs().max() < 1.5
        assert torch.equal(huge.objects.labels, large.objects.labels)

    def test_dark_raw_of_a_well_lit_picture(self):
        scenes = load_scenes("synthetic", "train", 16, 48)
        assert scenes.targets.mean() > 0.3 and scenes.images.mean() < 0.1

    def test_splits_numbers_and_seeds_differ(self):
        seen = {make_scene(*which, 32, seed).target.sum().item() for which, seed in SCENES}
        assert len(seen) == len(SCENES)

    def test_all_classes_are_there_and_some_hide_others(self):
        scenes = load_scenes("synthetic", "train", 40, 32)
        labels = torch.cat([scene.objects.labels for scene in scenes])
        assert set(labels.tolist()) == set(range(len(CLASSES)))
        boxes = [scene.objects.boxes for scene in scenes]
        touching = [len(b) for b in boxes if _overlap(b) > 0.1]
        assert len(touching) > 10

    def test_a_changed_picture_needs_a_new_version(self):
        picture, _ = render(draw_layout(np.random.default_rng(1)), 64)
        assert VERSION == "1"  # of which the digest below is
        assert hashlib.sha256(np.round(picture * 31).astype(np.uint8).tobytes()).hexdigest()[:8] == "b3f57667"

    def test_loading_is_lazy_and_takes_no_argument(self):
        assert len(load_scenes("synthetic", "train", 10**6, 64)) == 10**6
        with pytest.raises(UserError, match="data=synthetic"):
            load_scenes("synthetic:PATH", "train", 1, 64)


SCENES = [(("train", 0), 0), (("train", 1), 0), (("test", 0), 0), (("train", 0), 1)]


def _overlap(boxes):
    low, high = torch.maximum(boxes[:, None, :2], boxes[:, :2]), torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = (high - low).clamp_min(0).prod(2).fill_diagonal_(0)
    return float((shared / (boxes[:, 2:] - boxes[:, :2]).prod(1)).max())
