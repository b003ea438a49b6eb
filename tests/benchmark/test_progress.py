import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from isp_gym.benchmark.progress import Progress


@pytest.fixture
def console():
    return Console(file=io.StringIO(), force_terminal=True, width=120)


def test_a_bar_for_each_run_and_names_as_they_are(console, tiny):
    (problem,) = tiny().problems.values()
    workers = [
        SimpleNamespace(plan=_Named(problem, name), spent=SimpleNamespace(value=n))
        for name, n in (("[b]x", 3), ("y", 16))
    ]
    with Progress(console) as progress:
        for worker in (*workers, *workers):
            progress.update(worker)
        progress.end(workers[1])
    text = console.file.getvalue()
    assert "[b]x seed 0" in text and "3/16" in text and "16/16" in text


class _Named:
    def __init__(self, problem, agent):
        self.problem, self.agent = problem, agent

    def __str__(self):
        return f"{self.agent} seed 0"


@pytest.mark.parametrize(
    ("ended", "says"), [("agent", False), ("budget", False), ("run_timeout", True), ("env_steps", True)]
)
def test_scores_of_a_run_that_has_ended(console, ended, says):
    row = {"agent": "[red]", "seed": 3, "metrics": {"psnr": 21.04321}, "ended": ended, "cost": {"seconds": 7.4}}
    progress = Progress(console)
    progress.show(row)
    progress.show(None)
    text = console.file.getvalue()
    assert "[red] seed 3: psnr 21.04" in text and (f"ended by {ended}" in text) == says
