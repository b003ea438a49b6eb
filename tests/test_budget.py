import pytest

from isp_gym.budget import Budget, BudgetExhausted


def test_counts_until_the_limit_and_not_beyond():
    budget = Budget(10)
    budget.spend(6)
    budget.spend(3, gradient=True)
    with pytest.raises(BudgetExhausted, match="2 task evaluations asked for, 1 of 10 left"):
        budget.spend(2)
    assert (budget.task_evaluations, budget.gradient_evaluations, budget.remaining) == (9, 3, 1)


def test_without_a_limit_there_is_always_more():
    budget = Budget()
    budget.spend(10**9)
    assert budget.remaining > 10**12
