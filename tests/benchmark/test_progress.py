import io
from types import SimpleNamespace

import pytest
from rich.console import Console

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
