import torch

from agents.sequence.table import MarkovPolicy, TablePolicy


def test_the_table_knows_how_many_came_before():
    policy = TablePolicy(3, 3)
    with torch.no_grad():
        policy.table[0, 2] = policy.table[1, 0] = policy.table[2, 3] = 50.0
    assert policy.greedy().tolist() == [2, 0, 3]
    assert policy.evaluate(torch.tensor([[2, 0, 3]])).log_probs > -1e-3


def test_a_markov_policy_knows_which_came_before():
    policy = MarkovPolicy(3, 3)
    with torch.no_grad():
        policy.table[0, :2] = 50.0
        policy.follows[0, 3] = policy.follows[1, 2] = policy.follows[2, 3] = 50.0
    one, other = policy.evaluate(torch.tensor([[0, 3, 3], [1, 2, 3]])).log_probs.exp()
    torch.testing.assert_close(torch.stack([one, other]), torch.tensor([0.5, 0.5]), atol=1e-3, rtol=0)
