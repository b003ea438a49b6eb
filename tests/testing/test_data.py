"""``check_data_source`` passes what is sound and catches what is broken, one fault at a time."""

import sys
import types

import pytest
import torch

import isp_gym  # noqa: F401 (registers the environments)
from isp_gym.data import DataSource, LazyStore, MemoryStore, Objects, Scene, SceneSet
from isp_gym.testing import check_data_source


class Noise(DataSource):
    """Noise of its own in each split."""

    name = "noise"
    licence = reference = description = "here"

    def version(self):
        return "1"

    def check(self, argument):
        """There is always something."""

    def fingerprint(self, argument):
        return type(self).__name__

    def image(self, split, k, side, count):
        generator = torch.Generator().manual_seed(1000 * len(split) + k)
        return torch.rand(3, side, side, generator=generator)

    def objects(self, side):
        return None

    def ids(self, split, count):
        return [f"{split}/{k}" for k in range(count)]

    def load(self, argument, split, count, image_size, seed, on_error="raise"):
        ids = self.ids(split, count)

        def scene(k):
            return Scene(self.image(split, k, image_size, count), None, ids[k], None, self.objects(image_size))

        return SceneSet(LazyStore(scene, count), ids, ids, split, self.name)


class SharedSplits(Noise):
    def image(self, split, k, side, count):
        return super().image("train", k, side, count)


class DependsOnCount(Noise):
    def image(self, split, k, side, count):
        return super().image(split, k + count, side, count)


class Unseeded(Noise):
    def image(self, split, k, side, count):
        return torch.rand(3, side, side)


class OtherScenes(Noise):
    def ids(self, split, count):
        return super().ids(split, count)[::-1]


class StrangeIds(Noise):
    def ids(self, split, count):
        return [f"scene-{k}" for k in range(count)]


class Doubles(Noise):
    def image(self, *where):
        return super().image(*where).double()


class TooBright(Noise):
    def image(self, *where):
        return super().image(*where) * 2


class AnotherSize(Noise):
    def image(self, *where):
        return super().image(*where)[..., 1:]


class Nothing(Noise):
    def load(self, argument, split, count, image_size, seed, on_error="raise"):
        return SceneSet(MemoryStore(torch.zeros(0, 3, image_size, image_size)), [], [], split, self.name)


class Boxes(Noise):
    box, label, mask = (1.0, 1.0, 5.0, 5.0), 0, 32

    def objects(self, side):
        masks = torch.ones(1, self.mask, self.mask, dtype=torch.bool)
        return Objects(torch.tensor([self.box]), torch.tensor([self.label]), ("thing",), masks)


class BoxOutside(Boxes):
    box = (1.0, 1.0, 5.0, 33.0)


class BoxOfNothing(Boxes):
    box = (5.0, 1.0, 5.0, 5.0)


class UnknownLabel(Boxes):
    label = 1


class MasksOfAnotherSize(Boxes):
    mask = 16


class NoLicence(Noise):
    licence = ""


BROKEN = {
    SharedSplits: "share an image",
    DependsOnCount: "scene 0 depends on how many",
    Unseeded: "another each time",
    OtherScenes: "asked for fewer scenes, it gives others",
    StrangeIds: "ids must begin with 'train/'",
    Doubles: "float32",
    TooBright: "lie in",
    AnotherSize: "images must be",
    Nothing: "is empty",
    BoxOutside: "inside its image",
    BoxOfNothing: "inside its image",
    UnknownLabel: "index into the classes",
    MasksOfAnotherSize: "masks must be",
    NoLicence: "licence is missing",
}


@pytest.fixture
def named(monkeypatch):
    """The spec of a class."""
    module = types.ModuleType("sources_of_tests")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def name(cls):
        setattr(module, cls.__name__, cls)
        return f"{module.__name__}:{cls.__name__}"

    return name


@pytest.mark.parametrize("data", ["skimage", "synthetic"])
def test_ours_pass(data):
    check_data_source(data, count=2)


@pytest.mark.parametrize("sound", [Noise, Boxes])
def test_the_sound_ones_pass(sound, named):
    check_data_source(named(sound))


@pytest.mark.parametrize("broken", BROKEN, ids=lambda cls: cls.__name__)
def test_it_is_caught(broken, named):
    with pytest.raises(AssertionError, match=BROKEN[broken]):
        check_data_source(named(broken))
