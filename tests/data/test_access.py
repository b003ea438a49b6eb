import json
import multiprocessing
import os
import subprocess
import sys
import threading
from contextlib import suppress

import pytest
import torch
from torch.utils.data import DataLoader

from isp_gym.data import SPLITS, MemoryStore, SceneSet, lifted, load_scenes, recording, sealed
from isp_gym.data.access import READ_LOG_VARIABLE, SEALED_VARIABLE, check_split, refuse_sealed
from isp_gym.errors import UserError


def scene_set(split, count=4):
    ids = [f"{split}/photo/{i}" for i in range(count)]
    return SceneSet(MemoryStore(torch.rand(count, 3, 4, 4)), ids, ["photo"] * count, split, "mine")


def is_sealed(split):
    try:
        refuse_sealed(split)
    except UserError:
        return True
    return False


def open_splits():
    return [split for split in SPLITS if not is_sealed(split)]


def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


READS = {
    "item": lambda scenes: scenes[0],
    "batch": lambda scenes: scenes.batch([0]),
    "images": lambda scenes: scenes.images,
    "targets": lambda scenes: scenes.targets,
    "iteration": list,
    "moved": lambda scenes: scenes.to("meta").batch([0]),
}


class TestSeal:
    def test_loading_a_sealed_split_is_refused(self):
        with sealed("test"):
            with pytest.raises(UserError, match=r"the test split is sealed here.*use train or validation"):
                load_scenes(split="test", count=2, image_size=8)
            assert len(load_scenes(split="train", count=2, image_size=8)) == 2
        assert len(load_scenes(split="test", count=2, image_size=8)) == 2

    @pytest.mark.parametrize("read", READS.values(), ids=READS)
    def test_a_set_that_is_loaded_already_hands_out_nothing(self, read):
        scenes = scene_set("test")
        with recording() as log, sealed("test"), pytest.raises(UserError, match="sealed"):
            read(scenes)
        assert log.ids("test") == () and log.refusals["test"] == 1
        read(scenes)

    def test_names_and_sizes_may_be_asked_for(self):
        scenes = scene_set("test")
        with sealed("test"):
            assert len(scenes) == 4 and scenes.index(scenes.ids[1]) == 1

    def test_blocks_nest(self):
        with sealed("test"):
            with sealed("train"):
                assert open_splits() == ["validation"]
            assert open_splits() == ["train", "validation"]
            with sealed(), sealed("test"):
                assert is_sealed("test")
            assert is_sealed("test"), "leaving an inner block opened the outer one"
        assert open_splits() == list(SPLITS)

    def test_blocks_of_two_threads_may_end_in_any_order(self):
        first, second = sealed("test"), sealed("test", "validation")
        first.__enter__()
        in_thread(second.__enter__)
        first.__exit__(None, None, None)
        assert open_splits() == ["train"]
        in_thread(lambda: second.__exit__(None, None, None))
        assert open_splits() == list(SPLITS)

    def test_all_splits_at_once(self):
        with sealed(*SPLITS), pytest.raises(UserError, match="use no scenes"):
            refuse_sealed("train")

    def test_an_exception_lifts_the_seal(self):
        with suppress(ZeroDivisionError), sealed("test"):
            raise ZeroDivisionError
        assert not is_sealed("test")

    def test_an_unknown_name_seals_nothing(self):
        with pytest.raises(UserError, match=r"unknown split 'tset'; did you mean 'test'"), sealed("train", "tset"):
            raise AssertionError("the block was entered")
        assert open_splits() == list(SPLITS)

    def test_threads_are_sealed_too(self):
        with sealed("test"):
            assert in_thread(open_splits) == ["train", "validation"]


class TestLifted:
    def test_this_thread_reads_and_others_do_not(self):
        scenes = scene_set("test")
        with sealed("test", "validation"):
            with lifted():
                assert open_splits() == list(SPLITS) and len(scenes.images) == 4
                assert in_thread(open_splits) == ["train"]
                with lifted():
                    pass
                assert open_splits() == list(SPLITS)
            assert open_splits() == ["train"]


class TestRecording:
    def test_ids_are_sorted_and_each_is_there_once(self):
        train, test = scene_set("train"), scene_set("test")
        with recording() as log:
            train.batch([3, 1, 3])
            train[3]
            test[0]
        train[0]
        assert log.ids("train") == (train.ids[1], train.ids[3]) and log.ids("test") == test.ids[:1]
        assert log.counts == {"train": 2, "validation": 0, "test": 1}
        assert log.refusals == {"train": 0, "validation": 0, "test": 0}

    @pytest.mark.parametrize("name", ["images", "targets"])
    def test_all_at_once(self, name):
        scenes = scene_set("train")
        with recording() as log:
            getattr(scenes, name)
        assert log.ids("train") == scenes.ids

    def test_moved_and_loaded_again_is_noted_all_the_same(self):
        with recording() as log:
            for scenes in (load_scenes(count=3, image_size=8), load_scenes(count=3, image_size=8).to("meta")):
                scenes.batch([len(log.ids("train"))])
        assert log.ids("train") == tuple(sorted(scenes.ids[:2]))

    def test_asking_is_not_reading_and_a_refused_batch_read_nothing(self):
        scenes = scene_set("train")
        with recording() as log:
            scenes.index(scenes.ids[0])
            scenes.batch([])
            with suppress(IndexError):
                scenes.batch([0, 99])
        assert log.ids("train") == ()

    def test_nested_logs_all_note(self):
        scenes = scene_set("train")
        with recording() as outer:
            scenes[0]
            with recording() as inner:
                scenes[1]
            scenes[2]
        assert outer.ids("train") == scenes.ids[:3] and inner.ids("train") == scenes.ids[1:2]

    def test_threads_are_noted(self):
        scenes = scene_set("train")
        with recording() as log:
            in_thread(lambda: scenes[2])
            with sealed("test"):
                in_thread(lambda: is_sealed("test"))
        assert log.ids("train") == scenes.ids[2:3] and log.refusals["test"] == 1


class TestFile:
    def test_an_interrupted_log_goes_on(self, tmp_path):
        scenes, path = scene_set("train"), tmp_path / "read.log"
        with suppress(ZeroDivisionError), recording(path), sealed("test"):
            scenes.batch([2, 2])
            is_sealed("test")
            raise ZeroDivisionError
        with open(path, "a") as file:
            file.write('["train", "tra')  # the process was killed in the middle of a line
        with recording(path) as log:
            assert log.ids("train") == scenes.ids[2:3] and log.refusals["test"] == 1
            scenes.batch([2, 0])
        assert log.ids("train") == (scenes.ids[0], scenes.ids[2]) and log.counts["train"] == 2
        assert path.read_text().count(scenes.ids[2]) == 1

    def test_a_log_that_was_deleted_starts_again(self, tmp_path):
        scenes = scene_set("train")
        for _ in range(2):
            with recording(tmp_path / "read.log"):
                scenes[0]
            assert len((tmp_path / "read.log").read_text().splitlines()) == 1
            (tmp_path / "read.log").unlink()

    def test_an_id_may_hold_any_character(self, tmp_path):
        names = ["a\nb", "\u2028", "ü"]
        scenes = SceneSet(MemoryStore(torch.rand(3, 3, 4, 4)), names, names, "train", "mine")
        with recording(tmp_path / "read.log"):
            list(scenes)
        with recording(tmp_path / "read.log") as log:
            assert log.ids("train") == tuple(sorted(names))

    def test_a_file_that_cannot_be_written_is_named(self, tmp_path):
        with pytest.raises(UserError, match=r"cannot write .*nowhere/read\.log: No such file"):
            recording(tmp_path / "nowhere" / "read.log").__enter__()
        assert READ_LOG_VARIABLE not in os.environ


class TestEnvironment:
    def test_variables_last_as_long_as_the_blocks(self, tmp_path):
        with sealed("test"), recording(tmp_path / "a"):
            with sealed("validation"), recording(tmp_path / "b"):
                assert os.environ[SEALED_VARIABLE] == "test,validation"
                assert os.environ[READ_LOG_VARIABLE] == f"{tmp_path / 'a'}\n{tmp_path / 'b'}"
            assert os.environ[SEALED_VARIABLE] == "test" and os.environ[READ_LOG_VARIABLE] == str(tmp_path / "a")
        assert SEALED_VARIABLE not in os.environ and READ_LOG_VARIABLE not in os.environ


def child_work(folder, scenes):
    """Note which splits a process finds open, though it tries to lift the seal, and read a scene."""
    with lifted():
        (folder / "open").write_text(json.dumps(open_splits()))
    scenes[1]


def run_program(code):
    """The lines that another Python prints."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])}
    command = [sys.executable, "-c", f"from test_access import *\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.splitlines()


class TestProcesses:
    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    @pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
    def test_of_multiprocessing_are_sealed_and_noted(self, method, tmp_path):
        context, scenes = multiprocessing.get_context(method), scene_set("train")
        if method == "forkserver":  # one that was started before the block, with another environment
            context.Process(target=int).start()
        with recording(tmp_path / "read.log") as log, sealed("test"), lifted():
            child = context.Process(target=child_work, args=(tmp_path, scenes))
            child.start()
            child.join()
        assert child.exitcode == 0
        assert json.loads((tmp_path / "open").read_text()) == ["train", "validation"], "and it cannot be lifted there"
        assert log.ids("train") == scenes.ids[1:2] and log.refusals["test"] == 1

    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    def test_one_that_was_made_before_and_forked_inside(self, tmp_path):
        arguments = (tmp_path, scene_set("train"))
        child = multiprocessing.get_context("fork").Process(target=child_work, args=arguments)
        with sealed("test"):
            child.start()
            child.join()
        assert json.loads((tmp_path / "open").read_text()) == ["train", "validation"]

    def test_other_programs_are_sealed_and_noted(self, tmp_path):
        code = "with lifted(): print(*open_splits())\nscene_set('train')[0]"
        with sealed("test", "validation"), recording(tmp_path / "read.log") as log:
            assert run_program(code) == ["train"]
        assert log.counts["train"] == 1 and log.refusals == {"train": 0, "validation": 1, "test": 1}

    @pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
    def test_workers_of_a_data_loader_are_noted(self, tmp_path):
        scenes = scene_set("train", 6)
        with recording(tmp_path / "read.log") as log:
            loader = DataLoader(scenes, batch_size=3, num_workers=2, collate_fn=len, multiprocessing_context="fork")
            assert list(loader) == [3, 3]
        assert log.ids("train") == scenes.ids


@pytest.mark.parametrize("name", ["", "Train", "val", "testing", 3, None])
def test_other_names_are_no_splits(name):
    with pytest.raises(UserError, match="unknown split"):
        check_split(name)
