import threading
from contextvars import copy_context

import pytest

from isp_gym.data import SPLITS, load_scenes, sealed
from isp_gym.data.splits import check_split, refuse_sealed
from isp_gym.errors import UserError


def load(split):
    return load_scenes(split=split, count=2, image_size=8)


def is_sealed(split):
    try:
        refuse_sealed(split)
    except UserError:
        return True
    return False


def test_loading_a_sealed_split_is_refused():
    with sealed("test"):
        with pytest.raises(UserError, match=r"the test split is sealed here.*use train or validation"):
            load("test")
        assert len(load("train")) == 2
        assert len(load("validation")) == 2
    assert len(load("test")) == 2


READS = {
    "item": lambda scenes: scenes[0],
    "batch": lambda scenes: scenes.batch([0]),
    "images": lambda scenes: scenes.images,
    "targets": lambda scenes: scenes.targets,
    "iteration": list,
    "moved": lambda scenes: scenes.to("cpu").batch([0]),
    "fresh": lambda scenes: scenes.fresh()[0],
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_set_that_is_loaded_already_hands_out_nothing(read):
    scenes = load("test")
    with sealed("test"), pytest.raises(UserError, match="sealed"):
        read(scenes)
    assert scenes.read == ()
    read(scenes)


def test_names_and_sizes_may_be_asked_for():
    scenes = load("test")
    with sealed("test"):
        assert len(scenes) == 2
        assert scenes.index(scenes.ids[1]) == 1


def test_blocks_nest():
    with sealed("test"):
        with sealed("train"):
            assert [is_sealed(split) for split in SPLITS] == [True, False, True]
        assert [is_sealed(split) for split in SPLITS] == [False, False, True]
        with sealed():
            assert is_sealed("test")
        with sealed("test"):
            pass
        assert is_sealed("test"), "leaving an inner block opened the outer one"
    assert not any(map(is_sealed, SPLITS))


def test_all_splits_at_once():
    with sealed(*SPLITS), pytest.raises(UserError, match="use no scenes"):
        load("train")


def test_an_exception_lifts_the_seal():
    with pytest.raises(ZeroDivisionError), sealed("test"):
        raise ZeroDivisionError
    assert not is_sealed("test")


def test_an_unknown_name_seals_nothing():
    with pytest.raises(UserError, match=r"unknown split 'tset'; did you mean 'test'"), sealed("train", "tset"):
        raise AssertionError("the block was entered")
    assert not any(map(is_sealed, SPLITS))


def test_a_thread_takes_the_seal_along_in_a_copied_context():
    seen = []
    with sealed("test"):
        thread = threading.Thread(target=copy_context().run, args=(lambda: seen.append(is_sealed("test")),))
        thread.start()
        thread.join()
    assert seen == [True]


@pytest.mark.parametrize("name", ["", "Train", "val", "testing", 3, None])
def test_other_names_are_no_splits(name):
    with pytest.raises(UserError, match="unknown split"):
        check_split(name)
