import io
import itertools
from types import SimpleNamespace

import pytest
from rich.console import Console

from isp_gym.benchmark import progress as module
from isp_gym.benchmark.progress import Progress


@pytest.fixture
def console():
    return Console(file=io.StringIO(), force_terminal=True, width=120)


@pytest.mark.parametrize("several", [False, True])
def test_a_bar_for_each_run_and_names_as_they_are(console, tiny, several):
    (problem,) = tiny().problems.values()
    spent = {"[b]x": 3, "y": 16}
    workers = [SimpleNamespace(plan=_Named(problem, k), spent=SimpleNamespace(value=n)) for k, n in spent.items()]
    with Progress(console, several) as progress:
        for worker in (*workers, *workers):
            progress.update(worker)
        progress.end(workers[1])
    text = console.file.getvalue()
    assert ("enhancement [b]x seed 0" in text) == several
    assert "[b]x seed 0" in text and "3/16" in text and "16/16" in text


class _Named:
    def __init__(self, problem, agent):
        self.problem, self.agent = problem, agent

    def __str__(self):
        return f"{self.agent} seed 0"


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("ended", ["agent", "budget", "run_timeout", "env_steps"])
def test_scores_of_a_run_that_has_ended(console, ended, several):
    row = {"agent": "[red]", "seed": 3, "metrics": {"psnr": 21.04321}, "ended": ended, "cost": {"seconds": 7.4}}
    progress = Progress(console, several)
    progress.show({**row, "problem": "dark"})
    progress.show(None)
    text = console.file.getvalue()
    assert "[red] seed 3: psnr 21.04" in text and ("dark" in text) == several
    assert (f"ended by {ended}" in text) == (ended in ("run_timeout", "env_steps"))


def test_without_a_terminal_a_line_a_minute(tiny, monkeypatch):
    (problem,) = tiny().problems.values()  # of 16 task evaluations
    clock = itertools.count(0, 25)  # every time that it is asked, 25 s have gone by
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    console = Console(file=io.StringIO(), width=20)
    plans = [_Named(problem, agent) for agent in ("a", "b", "c")]
    workers = [SimpleNamespace(plan=plan, spent=SimpleNamespace(value=0)) for plan in plans]
    with Progress(console, False, plans) as progress:
        for spent in (4, 4, 8, 12):
            workers[0].spent.value = spent
            progress.update(workers[0])
        progress.end(workers[1])
        workers[0].spent.value = 15
        for _ in range(3):
            progress.update(workers[0])
    lines = console.file.getvalue().splitlines()
    assert lines == [  # 8 took 75 s, and 40 are left; 15 took 150 s, and 17 are left, for the second run has ended
        "0 of 3 runs done, 8 of 48 task evaluations spent, about 6 min left",
        "1 of 3 runs done, 15 of 48 task evaluations spent, about 3 min left",
    ]


def test_nothing_is_said_of_the_time_that_is_left_before_something_is_spent(tiny, monkeypatch):
    (problem,) = tiny().problems.values()
    monkeypatch.setattr(module, "EVERY", 0)
    console = Console(file=io.StringIO(), width=200)
    plan = _Named(problem, "a")
    Progress(console, False, [plan]).update(SimpleNamespace(plan=plan, spent=SimpleNamespace(value=0)))
    assert console.file.getvalue() == "0 of 1 runs done, 0 of 16 task evaluations spent\n"
