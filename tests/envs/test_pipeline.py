import pytest
import torch

from isp_gym.envs.pipeline import PipelineState
from isp_gym.modules import get_bank
from isp_gym.pipelines import Rules

BANK = get_bank("reference")
END = BANK.end_token


def start(typed=False, repeats=False):
    return PipelineState.start(torch.rand(2, 3, 16, 16), Rules(BANK, 3, typed, repeats))


def test_record_keeps_order_and_the_parameters_of_each_step():
    state = start()
    for tokens, level in (([5, 1], 0.9), ([END, 0], 0.2), ([2, END], 0.6)):
        state.record(torch.tensor(tokens), torch.full((2, 27), level), state.images)
    assert state.sequences.tolist() == [[5, 2, END], [1, 0, END]]
    assert state.lengths.tolist() == [2, 2]
    assert state.step.tolist() == [3, 3]
    assert state.params[:, :2].mean(2).flatten().tolist() == pytest.approx([0.9, 0.6, 0.9, 0.2])
    torch.testing.assert_close(state.params[:, 2], BANK.neutral.repeat(2, 1))


def test_restart_touches_its_lanes_only():
    state = start()
    before = state.images.clone()
    state.record(torch.tensor([5, 1]), torch.full((2, 27), 0.9), state.images)
    state.restart(torch.tensor([1]), torch.ones(1, 3, 16, 16))
    assert state.sequences.tolist() == [[5, END, END], [END, END, END]]
    assert state.used.sum(1).tolist() == [1, 0]
    assert state.step.tolist() == [1, 0]
    assert torch.equal(state.images[0], before[0])
    assert (state.images[1] == 1).all()
    torch.testing.assert_close(state.params[1], BANK.neutral.repeat(3, 1))


def test_a_module_outside_its_input_domain_is_dropped():
    state = start(typed=True)
    mask = state.token_mask()[0]
    assert mask.tolist() == (BANK.typed_mask(state.used)[0]).tolist()
    closed = torch.nonzero(~mask).flatten().tolist()
    assert closed
    assert state.admit(torch.tensor([closed[0], 0])).tolist() == [END, 0]


@pytest.mark.parametrize("repeats", [False, True])
def test_a_used_module(repeats):
    state = start(repeats=repeats)
    state.record(torch.tensor([5, 1]), torch.full((2, 27), 0.9), state.images)
    assert state.admit(torch.tensor([5, 5])).tolist() == [5 if repeats else END, 5]
    assert state.token_mask()[0, 5] == repeats
