import subprocess
import sys

import pytest

from isp_gym.budget import Budget, BudgetExhausted, Spent, metering
from isp_gym.errors import UserError


def test_counts_until_the_limit_and_not_beyond():
    budget = Budget(10)
    budget.spend(6)
    budget.spend(3, gradient=True)
    with pytest.raises(BudgetExhausted, match="2 task evaluations asked for, 1 of 10 left"):
        budget.spend(2)
    assert (budget.task_evaluations, budget.spent.gradient_evaluations, budget.remaining) == (9, 3, 1)


def test_without_a_limit_there_is_always_more():
    budget = Budget()
    budget.spend(10**9)
    budget.step(10**9)
    assert budget.remaining > 10**12


def test_steps_have_a_limit_of_their_own():
    budget = Budget(5, step_limit=4)
    budget.step(3)
    with pytest.raises(BudgetExhausted, match="3 of 4 environment steps are taken, with 5 task evaluations left"):
        budget.step(2)
    budget.step(1)
    assert budget.spent == Spent(env_steps=4)
    budget.spend(5)  # the one limit does not bind the other


def test_require_counts_nothing():
    budget = Budget(5, step_limit=4)
    budget.require(5, steps=4)
    for images, steps in ((6, 0), (0, 5)):
        with pytest.raises(BudgetExhausted):
            budget.require(images, steps)
    assert budget.spent == Spent()


def test_state_goes_on_where_it_was():
    budget, again = Budget(10), Budget(10)
    budget.spend(4, gradient=True)
    budget.step(6)
    budget.add_megapixels(0.25)
    again.restore(budget.state())
    assert again.spent == Spent(4, 4, 6, 0.25)
    assert again.remaining == 6


class TestMetering:
    def test_every_budget_is_counted_in_the_run(self):
        own, run = Budget(), Budget()
        own.spend(1)
        with metering(run):
            own.spend(2, gradient=True)
            own.step(3)
            own.add_megapixels(0.5)
            run.spend(4)
        own.spend(1)
        assert run.spent == Spent(6, 2, 3, 0.5)
        assert own.task_evaluations == 4

    @pytest.mark.parametrize("limits", [(3, None), (None, 3)])
    def test_the_limit_of_either_holds_and_nothing_is_counted(self, limits):
        for own, run in ((Budget(*limits), Budget()), (Budget(), Budget(*limits))):
            with metering(run), pytest.raises(BudgetExhausted):
                own.spend(4) if limits[0] else own.step(4)
            assert own.spent == run.spent == Spent()

    def test_a_run_inside_a_run_is_counted_in_both(self):
        outer, inner = Budget(), Budget()
        with metering(outer):
            with metering(inner):
                Budget().spend(2)
            with metering(outer):
                Budget().spend(3)
            Budget().spend(4)
        assert (outer.task_evaluations, inner.task_evaluations) == (9, 2)

    def test_nobody_scores_in_a_subprocess_of_a_run(self):
        code = "from isp_gym.budget import Budget; Budget().spend(1)"
        with metering(Budget()):
            inside = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert UserError.__name__ in inside.stderr
        assert "subprocess of a run" in inside.stderr.splitlines()[-1]
        subprocess.run([sys.executable, "-c", code], check=True)

    def test_it_ends_with_an_error_too(self):
        run = Budget(1)
        with pytest.raises(BudgetExhausted), metering(run):
            Budget().spend(2)
        Budget().spend(2)
        assert run.spent == Spent()
