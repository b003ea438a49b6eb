import pytest
import torch

from isp_gym.data import LazyStore, MemoryStore, Objects, Scene, SceneSet


def objects(count):
    return Objects(torch.rand(count, 4), torch.zeros(count, dtype=torch.int64), ("thing",))


def make(i):
    image = torch.full((3, 4, 4), i / 10)
    return Scene(image, image / 2, f"train/{i}", objects=objects(i % 3))


def lazy(load=make):
    return SceneSet(LazyStore(load, 6), [f"train/{i}" for i in range(6)], ["p"] * 6, "train", "mine")


class TestLazyStore:
    def test_makes_what_is_asked_for_once_a_batch(self):
        asked = []
        scenes = lazy(lambda i: asked.append(i) or make(i))
        batch = scenes.batch([4, 1, 4])
        assert sorted(asked) == [1, 4]
        torch.testing.assert_close(batch.images[:, 0, 0, 0], torch.tensor([0.4, 0.1, 0.4]))
        torch.testing.assert_close(batch.targets, batch.images / 2)
        assert [len(o) for o in batch.objects] == [1, 1, 1] and batch.cameras is None

    def test_keeps_what_it_made(self):
        asked = []
        scenes = lazy(lambda i: asked.append(i) or make(i))
        first, again = scenes.batch([0, 1]), scenes.batch([1, 0])
        assert sorted(asked) == [0, 1] and torch.equal(first.images, again.images.flip(0))
        first.images.zero_()
        assert torch.equal(scenes.batch([1]).images[0], make(1).image), "what is handed out is a copy"

    def test_keeps_no_more_than_fits(self):
        asked = []
        size = make(0).image.nbytes * 2
        store = LazyStore(lambda i: asked.append(i) or make(i), 6, memory=2 * size)
        for _ in range(2):
            for i in range(6):
                assert torch.equal(store.fetch([i]).images[0], make(i).image)
        assert sorted(asked) == [0, 1, 2, 2, 3, 3, 4, 4, 5, 5]

    def test_is_like_one_in_memory(self):
        made = [make(i) for i in range(6)]
        store = MemoryStore(torch.stack([s.image for s in made]), torch.stack([s.target for s in made]))
        memory = SceneSet(store, [s.id for s in made], ["p"] * 6, "train", "mine")
        assert torch.equal(memory.images, lazy().images)
        assert torch.equal(memory[3].target, lazy()[3].target)

    def test_an_error_in_a_thread_arrives(self):
        def broken(i):
            raise ValueError("broken file")

        with pytest.raises(ValueError, match="broken file"):
            lazy(broken).batch([0, 1])


class TestObjects:
    def test_nothing_is_a_crowd_unless_said(self):
        assert objects(3).crowd.tolist() == [False] * 3

    @pytest.mark.parametrize("wrong", [{"boxes": torch.zeros(1, 4)}, {"masks": torch.zeros(3, 4, 4, dtype=torch.bool)}])
    def test_parts_must_go_together(self, wrong):
        good = {"boxes": torch.zeros(2, 4), "labels": torch.zeros(2, dtype=torch.int64), "classes": ("a",)}
        with pytest.raises(ValueError, match="one box, one label"):
            Objects(**{**good, **wrong})
