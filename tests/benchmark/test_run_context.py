"""What an agent may do inside a run, and what the run notes of it."""

import dataclasses
import json
import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from isp_gym.budget import Budget
from isp_gym.data import load_scenes
from isp_gym.errors import UserError
from isp_gym.tasks import get_task


class Does:
    """Learns by calling the function of this module that its option names."""

    def __init__(self, what):
        self.what = globals()[what]

    def train(self, training):
        self.training = training
        self.what(training)

    def enhance(self, images):
        return images


def does(function):
    return f"{__name__}:Does", {"what": function.__name__}


def vector_env(training):
    env = training.make_vec("ISP/Sequence-v0", 2)
    env.reset(seed=training.seed)
    env.action_space.seed(0)
    return env


# --- routes to a score; each scores two images ------------------------------------------------------------------------
def score_play(training):
    pipelines = training.rules.admit(
        torch.zeros(2, 1, dtype=torch.int64), torch.full((2, training.bank.num_params), 0.4)
    )
    training.play(training.scenes.batch([0, 1]), pipelines)


def score_env(training):
    env = vector_env(training)
    env.step(env.action_space.sample())


def score_env_with_a_budget_of_its_own(training):
    env = vector_env(training)
    env.unwrapped.share_budget(Budget())
    env.step(env.action_space.sample())


def score_env_of_its_own(training):
    env = gym.make_vec("ISP/Sequence-v0", 2, **dataclasses.asdict(training.setting))
    env.reset(seed=0)
    env.step(env.action_space.sample())


def score_transition_of_its_own(training):
    transition = training.setting.make_transition()
    scenes = transition.scenes.batch([0, 1])
    transition.loss(scenes.images, scenes)


def score_transition_with_another_budget(training):
    training.transition.budget = Budget()
    scenes = training.scenes.batch([0, 1])
    training.transition.loss(scenes.images, scenes)


def score_task_off_the_transition(training):
    scenes = training.scenes.batch([0, 1])
    training.transition.task.loss(scenes.images, scenes)


def score_task_of_the_setting(training):
    scenes = training.scenes.batch([0, 1])
    training.setting.make_task().loss(scenes.images, scenes)


def score_task_by_its_name(training):
    scenes = training.scenes.batch([0, 1])
    get_task("enhancement").loss(scenes.images, scenes)


def score_meter(training):
    scenes = training.scenes.batch([0, 1])
    training.setting.make_task().metric().update(scenes.images, scenes)


def score_in_a_thread(training):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(score_task_off_the_transition, training).result()


ROUTES = [value for name, value in list(globals().items()) if name.startswith("score_")]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
def test_every_route_to_a_score_is_counted(run_of, route):
    row = run_of(*does(route))
    assert row["task_evaluations"] == 2 and row["ended"] == "agent"


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.__name__)
def test_every_route_to_a_score_ends_with_the_budget(run_of, route):
    row = run_of(*does(route), budget=1)
    assert row["task_evaluations"] <= 1 and row["ended"] == "budget"


def raise_its_limit(training):
    training.budget.limit = 10**6
    for _ in range(9):
        score_play(training)


def test_a_limit_that_was_raised_is_found(run_of):
    with pytest.raises(UserError, match="agent 'agent' raised its own budget of 16"):
        run_of(*does(raise_its_limit))


def raise_its_step_limit(training):
    training.budget.step_limit = None
    steps_for_nothing(training, 6)


def test_a_step_limit_that_was_raised_is_found(run_of):
    with pytest.raises(UserError, match="agent 'agent' raised its own budget of 16"):
        run_of(*does(raise_its_step_limit), steps_per_evaluation=2)


# --- ends -------------------------------------------------------------------------------------------------------------
def steps_for_nothing(training, most=10**9):
    env = training.make_vec("ISP/Stepwise-v0", 8)
    env.reset(seed=0)
    action = {**env.action_space.sample(), "module": np.full(8, training.bank.end_token)}
    for _ in range(most):
        env.step(action)


def scores_for_ever(training):
    while True:
        score_play(training)


def test_a_training_whose_steps_cost_nothing_ends(run_of):
    """A policy that is forced to stop at once once made 6,800 steps at 0 of 64 evaluations, without end."""
    row = run_of(*does(steps_for_nothing), steps_per_evaluation=2)
    assert (row["ended"], row["task_evaluations"], row["env_steps"]) == ("env_steps", 0, 32)


def test_the_budget_ends_an_endless_training(run_of):
    row = run_of(*does(scores_for_ever))
    assert (row["ended"], row["task_evaluations"]) == ("budget", 16)


class AsksForMore(Does):
    def enhance(self, images):
        score_transition_of_its_own(self.training)
        return images


def test_a_score_asked_for_after_the_training_is_refused(run_of):
    with pytest.raises(UserError, match="agent 'agent' asks for task scores after its training"):
        run_of(f"{__name__}:AsksForMore", {"what": "score_play"}, budget=100, curve_points=1)


# --- scenes read ------------------------------------------------------------------------------------------------------
def read_directly(training):
    training.scenes.batch([1, 3])


def read_by_make(training):
    env = training.make("ISP/Sequence-v0")
    for i in (1, 3):
        env.reset(options={"scene": i})


def read_by_make_vec(training):
    training.make_vec("ISP/Sequence-v0", 2).reset(options={"scene": [1, 3]})


def read_by_an_env_of_its_own(training):
    gym.make_vec("ISP/Sequence-v0", 2, **dataclasses.asdict(training.setting)).reset(options={"scene": [1, 3]})


def read_in_a_thread(training):
    thread = threading.Thread(target=read_by_make_vec, args=(training,))
    thread.start()
    thread.join()


def read_in_worker_processes(training):
    loader = DataLoader(Two(training.scenes), num_workers=1, multiprocessing_context="fork")
    assert len(list(loader)) == 2


class Two:
    def __init__(self, scenes):
        self.scenes = scenes

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return self.scenes.batch([2 * i + 1]).images


READERS = [value for name, value in list(globals().items()) if name.startswith("read_")]


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_scenes_read_are_complete_however_the_agent_reads(run_of, plan_of, read):
    """Rows of agents that learn through environments once said that no scene was read."""
    row = run_of(*does(read))
    ids = plan_of("input").problem.setting("train").load_scenes().ids
    assert row["train_scenes_read"] == sorted([ids[1], ids[3]])
    assert row["scenes_read"] == {"train": 2, "validation": 0, "test": 3}
    assert row["reads_refused"] == {"train": 0, "validation": 0, "test": 0}


# --- sealed -----------------------------------------------------------------------------------------------------------
def peek(training, split):
    load_scenes("skimage", split, 2, 16)


def peek_by_setting(training, split):
    dataclasses.replace(training.setting, split=split).load_scenes()


def peek_by_env(training, split):
    gym.make("ISP/Sequence-v0", split=split, image_size=16, num_scenes=2).reset()


def peek_in_a_thread(training, split):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(peek, training, split).result()


def peek_in_a_process(training, split):
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(peek, None, split).result()


class Peeks(Does):
    """Reads a sealed split and hides what it is told."""

    def __init__(self, what, split, when="train"):
        super().__init__(what)
        self.split, self.when = split, when
        self.look("init")

    def look(self, when):
        self.refused = None
        if when == self.when:
            try:
                self.what(getattr(self, "training", None), self.split)
            except UserError as error:
                self.refused = error

    def train(self, training):
        self.training = training
        self.look("train")

    def enhance(self, images):
        self.look("enhance")
        return images


PEEKS = [value for name, value in list(globals().items()) if name.startswith("peek")]


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("look", PEEKS, ids=lambda look: look.__name__)
def test_sealed_scenes_are_refused_and_refusals_are_in_the_row(run_of, look, split):
    row = run_of(f"{__name__}:Peeks", {"what": look.__name__, "split": split})
    assert row["reads_refused"] == {"train": 0, "validation": 0, "test": 0, split: 1}
    assert row["scenes_read"] == {"train": 0, "validation": 0, "test": 3}


@pytest.mark.parametrize("when", ["init", "enhance"])
def test_they_are_sealed_from_the_construction_of_the_agent_to_its_test(run_of, when):
    row = run_of(f"{__name__}:Peeks", {"what": "peek", "split": "test", "when": when})
    assert row["reads_refused"]["test"] == 1


def test_an_agent_that_does_not_hide_the_refusal_fails(run_of):
    with pytest.raises(UserError, match="the test split is sealed here"):
        run_of(f"{__name__}:Does", {"what": "peek_openly"})


def peek_openly(training):
    peek(training, "test")


def name_what_programs_are_told(training):
    global told
    told = os.environ["ISP_GYM_SEALED"]


def test_programs_that_are_started_are_told_too(run_of):
    run_of(*does(name_what_programs_are_told))
    assert told == "test,validation" and "ISP_GYM_SEALED" not in os.environ


# --- the log ----------------------------------------------------------------------------------------------------------
def log_numbers(training):
    training.log(loss=float("nan"), lr=0.5)
    score_play(training)
    training.log(loss=1.0)


def test_the_log_holds_numbers_points_and_the_end(run_of, tmp_path):
    row = run_of(*does(log_numbers))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[:2] == [{"task_evaluations": 0, "loss": None, "lr": 0.5}, {"task_evaluations": 2, "loss": 1.0}]
    assert lines[2]["point"] == row["curve"][0]
    assert (lines[3]["ended"], lines[3]["task_evaluations"], len(lines)) == ("agent", 2, 4)


def draw(training):
    global drawn
    drawn = [torch.rand(2).tolist(), training.seed]


@pytest.mark.parametrize("seed", [12345, 2**63 + 11, 2**64 - 1])
def test_every_seed_of_64_bits_runs_and_repeats(plan_of, run_of, seed):
    """Seeds from 4295 on once crashed, when the run started."""
    row = run_of(*does(draw), seed)
    first = drawn
    assert row["seed"] == seed and 0 <= first[1] < 2**32
    run_of(*does(draw), seed)
    assert drawn == first
    run_of(*does(draw), seed - 1)
    assert drawn[0] != first[0] and drawn[1] != first[1]
