"""Runs in processes of their own. Agents lie in a file in the working directory, as a third party's do."""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from isp_gym.benchmark import worker_process, workers
from isp_gym.benchmark.plan import read_card
from isp_gym.benchmark.results import finished_row
from isp_gym.benchmark.workers import Interrupted, interrupts, run_all

AGENTS = """
import os, signal, sys, time
import torch
from isp_gym.benchmark import Agent, worker_process
from isp_gym.errors import UserError

class Base:
    def train(self, training): pass
    def enhance(self, images): return images

class Raises(Base):
    def __init__(self, text="out of luck", times=1): self.text = text * times
    def train(self, training): raise RuntimeError(self.text)

class Exits(Base):
    def train(self, training): sys.exit(3)

class Killed(Base):
    def train(self, training): os.kill(os.getpid(), signal.SIGKILL)

class Sleeps(Base):
    def __init__(self, deaf=False):
        self.deaf = deaf
        worker_process._STUCK = 0.5
    def train(self, training):
        while True:
            try:
                time.sleep(60)
            except BaseException:
                if not self.deaf: raise

class ThinksLong(Base):
    '''Is slow where it is measured, not where it learns.'''
    def train(self, training):
        training.checkpoint(self)
        scenes = training.scenes.batch([0])
        training.transition.loss(scenes.images, scenes)
    def diagnostics(self):
        time.sleep(1.5)
        return {}

class NeverAnswers(Base):
    def train(self, training):
        pass
    def enhance(self, images):
        time.sleep(60)

class LeavesAChild(Base):
    def train(self, training):
        child = os.fork()
        if not child:
            time.sleep(600)
        open("child", "w").write(str(child))

class Counts(Agent):
    '''Ends when it is told to stop, at a checkpoint.'''
    exact_resume = True
    def __init__(self): self.i = torch.zeros(1)
    def train(self, training):
        training.resume(self)
        while training.remaining:
            scenes = training.scenes.batch([0])
            training.transition.loss(scenes.images, scenes)
            self.i += 1
            training.checkpoint(self, self)
            time.sleep(0.01)
    def enhance(self, images): return images
    def state(self): return {"i": self.i}
    def load_state(self, state): self.i = state["i"]
    state_dict, load_state_dict = state, load_state
"""


@pytest.fixture
def work(tmp_path, monkeypatch, plan_of):
    """Runs agents of the file, all at once, and gives what they said, by name."""
    (tmp_path / "agents_for_test.py").write_text(AGENTS)
    monkeypatch.chdir(tmp_path)

    def start(*names, on_progress=lambda worker: None, jobs=4, options=None, **keys):
        said = {}
        plans = [(plan_of(f"agents_for_test:{name}", options, **keys), tmp_path / "runs" / name) for name in names]
        run_all(plans, jobs, on_progress, lambda worker, answer: said.update({worker.folder.name: answer}))
        return said

    return start


def row_of(folder):
    return finished_row(read_card(folder, ["digest"])["digest"], folder / "row.json")


def is_there(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_each_way_to_fail_is_one_line_and_harms_no_other(work, tmp_path):
    said = work("Base", "Raises", "Exits", "Killed", "NotThere")
    assert said["Base"] == ("done",) and row_of(tmp_path / "runs" / "Base")["ended"] == "agent"
    assert said["Raises"][1] == "RuntimeError: out of luck" and "line" in said["Raises"][2]
    assert "ended its process itself, by sys.exit(3)" in said["Exits"][1]
    assert said["Killed"][1].startswith("its process ended without a word (exit code -9)")
    assert "has no 'NotThere'" in said["NotThere"][1] and said["NotThere"][2] == ""
    assert not (tmp_path / "runs" / "Raises" / "row.json").exists()


def test_what_an_error_says_may_be_longer_than_a_pipe_holds(work):
    (said,) = work("Raises", options={"text": "x", "times": 10**6}).values()
    assert said[0] == "failed" and len(said[1]) < 400


def test_ctrl_c_while_a_worker_starts_leaves_none(plan_of, tmp_path, monkeypatch):
    started = []

    @contextlib.contextmanager
    def then_interrupted():
        yield
        started.extend(multiprocessing.active_children())
        raise Interrupted

    monkeypatch.setattr(workers, "_signals_blocked", then_interrupted)
    with pytest.raises(Interrupted):
        workers.Worker.start(plan_of("input"), tmp_path / "run")
    assert len(started) == 1 and not started[0].is_alive()


def test_a_run_whose_listener_has_gone_ends_without_a_word(plan_of, tmp_path, monkeypatch):
    ours, theirs = multiprocessing.Pipe(duplex=False)
    ours.close()
    monkeypatch.setattr(worker_process.os, "setpgrp", lambda: None)
    monkeypatch.setattr(worker_process.signal, "signal", lambda *_: None)  # this process keeps its own
    worker_process.work(plan_of("input"), tmp_path / "run", theirs, SimpleNamespace(value=0))
    assert row_of(tmp_path / "run")["ended"] == "agent"


class TestTimeout:
    def test_a_training_in_which_nothing_is_spent_ends_as_a_marked_row(self, work, tmp_path):
        assert work("Sleeps", run_timeout=0.5) == {"Sleeps": ("done",)}
        row = row_of(tmp_path / "runs" / "Sleeps")
        assert (row["ended"], row["task_evaluations"]) == ("run_timeout", 0) and row["metrics"]

    def test_one_that_does_not_heed_it_is_ended_with_its_process(self, work):
        (said,) = work("Sleeps", run_timeout=0.5, options={"deaf": True}).values()
        assert said[1] == "spent nothing for 0.5 s (run_timeout), and had to be killed"

    def test_an_agent_that_does_not_answer_when_it_is_evaluated(self, work):
        (said,) = work("NeverAnswers", run_timeout=0.5).values()
        assert said[:2] == ("failed", "it did not answer within run_timeout when it was evaluated")

    def test_the_time_that_the_benchmark_itself_takes_does_not_count(self, work, tmp_path):
        work("ThinksLong", run_timeout=0.5)
        assert row_of(tmp_path / "runs" / "ThinksLong")["ended"] == "agent"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks for processes in /proc")
class TestNobodyIsLeftBehind:
    def test_children_of_an_agent_end_with_its_run(self, work, tmp_path):
        assert work("LeavesAChild") == {"LeavesAChild": ("done",)}
        child = int((tmp_path / "child").read_text())
        end = time.monotonic() + 10
        while is_there(child) and time.monotonic() < end:
            time.sleep(0.05)
        assert not is_there(child)

    def test_an_interrupted_run_saves_itself_and_goes_on_to_the_bit(self, work, tmp_path):
        seen = []

        def interrupt(worker):
            seen.append(worker.process.pid)
            if worker.spent.value >= 8:
                signal.raise_signal(signal.SIGTERM)

        with pytest.raises(Interrupted):
            work("Counts", on_progress=interrupt, budget=200)
        assert not is_there(seen[-1]) and list((tmp_path / "runs" / "Counts" / "checkpoints").iterdir())
        assert work("Counts", budget=200) == {"Counts": ("done",)}
        row = row_of(tmp_path / "runs" / "Counts")
        assert (row["cost"]["resumed"], row["task_evaluations"]) == (1, 200)
        (tmp_path / "runs" / "Counts").rename(tmp_path / "before")
        work("Counts", budget=200)
        assert row_of(tmp_path / "runs" / "Counts")["digest"] == row["digest"]


def test_spawn_where_there_is_no_fork_server(work, monkeypatch, tmp_path):
    monkeypatch.setenv("ISP_GYM_START_METHOD", "spawn")
    assert workers._context().get_start_method() == "spawn"
    assert work("Sleeps", run_timeout=0.5) == {"Sleeps": ("done",)}
    assert row_of(tmp_path / "runs" / "Sleeps")["ended"] == "run_timeout"


class TestInterrupts:
    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
    def test_signals_raise_and_handlers_come_back(self, name):
        number = getattr(signal, name)
        before = signal.getsignal(number)
        with pytest.raises(Interrupted), interrupts():
            signal.raise_signal(number)
        assert signal.getsignal(number) is before

    def test_in_another_thread_there_is_nothing_to_do(self):
        def inside():
            with interrupts():
                done.append(1)

        done = []
        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        assert done == [1]
