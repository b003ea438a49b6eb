import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isp_gym.envs.pipeline import PipelineState, allowed_tokens, legal_sequences
from isp_gym.modules import get_bank

BANK = get_bank("reference")
END = BANK.end_token
rows = st.lists(st.lists(st.integers(0, END), min_size=6, max_size=6), min_size=1, max_size=4)


def walk(row, typed):
    """The same, one token at a time."""
    kept = []
    for token in row:
        if token == END:
            break
        used = torch.zeros(1, END, dtype=torch.bool)
        used[0, kept] = True
        if allowed_tokens(BANK, used, typed)[0, token]:
            kept.append(token)
    return kept + [END] * (len(row) - len(kept))


@settings(deadline=None)
@given(sequences=rows, typed=st.booleans())
def test_legal_sequences_are_what_a_walk_leaves(sequences, typed):
    legal = legal_sequences(BANK, torch.tensor(sequences), typed)
    assert legal.tolist() == [walk(row, typed) for row in sequences]


def test_first_use_counts():
    assert legal_sequences(BANK, torch.tensor([[3, 3, 1, 3, 2, END]]), False).tolist() == [[3, 1, 2, END, END, END]]


def test_input_is_left_alone():
    sequences = torch.tensor([[3, 3, END, 2]])
    legal_sequences(BANK, sequences, True)
    assert sequences.tolist() == [[3, 3, END, 2]]


class TestPipelineState:
    def state(self, typed=False):
        return PipelineState.start(torch.rand(2, 3, 16, 16), BANK, 3, typed)

    def test_record_keeps_order_and_the_parameters_of_used_modules(self):
        state = self.state()
        for tokens, level in (([5, 1], 0.9), ([END, 0], 0.2), ([2, END], 0.6)):
            state.record(torch.tensor(tokens), torch.full((2, 27), level), state.images)
        assert state.sequences.tolist() == [[5, 2, END], [1, 0, END]]
        assert state.step.tolist() == [3, 3]
        expected = BANK.neutral.clone()
        expected[BANK.slices[5]], expected[BANK.slices[2]] = 0.9, 0.6
        torch.testing.assert_close(state.params[0], expected)

    def test_restart_touches_its_lanes_only(self):
        state = self.state()
        before = state.images.clone()
        state.record(torch.tensor([5, 1]), torch.full((2, 27), 0.9), state.images)
        state.restart(torch.tensor([1]), torch.ones(1, 3, 16, 16))
        assert state.sequences.tolist() == [[5, END, END], [END, END, END]]
        assert state.used.sum(1).tolist() == [1, 0]
        assert state.step.tolist() == [1, 0]
        assert torch.equal(state.images[0], before[0])
        assert (state.images[1] == 1).all()
        torch.testing.assert_close(state.params[1], BANK.neutral)

    def test_typed_order_is_refused_where_light_is_wrong(self):
        state = self.state(typed=True)
        mask = state.token_mask()[0]
        assert mask.tolist() == (BANK.typed_mask(state.used)[0]).tolist()
        closed = torch.nonzero(~mask).flatten().tolist()
        assert closed
        assert state.admit(torch.tensor([closed[0], 0])).tolist() == [END, 0]
