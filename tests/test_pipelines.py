"""Pipelines and their rules: what may be made, what is dropped, and that records bring the same back."""

import copy
import itertools
import json
import pickle

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import isp_gym  # noqa: F401 (registers the environments)
from isp_gym.modules import get_bank
from isp_gym.pipelines import Pipelines, Rules

MODULES = ("exposure", "gamma", "ccm", "tone", "white_balance", "saturation")
BANK = get_bank("stable", MODULES)
END, P, LENGTH = BANK.end_token, BANK.num_params, 5
KINDS = list(itertools.product([False, True], [False, True]))  # typed, repeats
RULES = {kind: Rules(BANK, LENGTH, *kind) for kind in KINDS}
FREE, ANY = RULES[False, False], RULES[False, True]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=["free", "free-repeats", "typed", "typed-repeats"])
rows = st.lists(st.lists(st.integers(0, END), min_size=LENGTH, max_size=LENGTH), min_size=1, max_size=4)


def numbers(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def made(*tokens, rules=FREE):
    """One pipeline, with parameters of its own at every step."""
    return Pipelines(rules, torch.tensor([tokens]), numbers(1, len(tokens), P))


def walked(rules, row):
    """The legal steps of a row, one token at a time."""
    kept = []
    for step, token in enumerate(row):
        if token == END:
            break
        used = torch.zeros(1, END, dtype=torch.bool)
        used[0, [row[i] for i in kept]] = True
        if (rules.repeats or not used[0, token]) and (not rules.domain_constrained or BANK.typed_mask(used)[0, token]):
            kept.append(step)
    return kept


class TestRules:
    @every_kind
    @settings(max_examples=50, deadline=None)
    @given(sequences=rows)
    def test_legal_steps_are_those_of_a_walk(self, kind, sequences):
        rules = RULES[kind]
        legal = rules.legal(torch.tensor(sequences))
        assert [torch.nonzero(row).flatten().tolist() for row in legal] == [walked(rules, row) for row in sequences]

    @every_kind
    @settings(max_examples=50, deadline=None)
    @given(sequences=rows)
    def test_admit_keeps_the_legal_steps_with_their_parameters(self, kind, sequences):
        rules, params = RULES[kind], numbers(len(sequences), LENGTH, P)
        pipelines = rules.admit(torch.tensor(sequences), params)
        for i, row in enumerate(sequences):
            kept = walked(rules, row)
            assert pipelines.tokens[i].tolist() == [row[step] for step in kept] + [END] * (LENGTH - len(kept))
            assert torch.equal(pipelines.params[i, : len(kept)], params[i, kept])
            asked = row.index(END) if END in row else LENGTH
            assert pipelines.refused[i] == asked - len(kept)

    @every_kind
    @settings(max_examples=50, deadline=None)
    @given(sequences=rows)
    def test_what_is_admitted_is_valid_and_admitted_again_as_it_is(self, kind, sequences):
        once = RULES[kind].admit(torch.tensor(sequences), numbers(len(sequences), LENGTH, P))
        for again in (RULES[kind].admit(once.tokens, once.params), Pipelines(RULES[kind], once.tokens, once.params)):
            assert torch.equal(again.tokens, once.tokens)
            assert torch.equal(again.params, once.params)
            assert not again.refused.any()

    @every_kind
    def test_allowed_says_what_legal_takes(self, kind):
        rules = RULES[kind]
        for before in [order for length in range(3) for order in itertools.permutations(range(END), length)]:
            if walked(rules, list(before)) != list(range(len(before))):
                continue
            used = torch.zeros(1, END, dtype=torch.bool)
            used[0, list(before)] = True
            allowed = rules.allowed(used)[0]
            assert allowed[END]
            for token in range(END):
                assert bool(rules.legal(torch.tensor([[*before, token]]))[0, -1]) == bool(allowed[token])

    @pytest.mark.parametrize("shape", [(1, P), (1, 3, P), (1, LENGTH, P)])
    @pytest.mark.parametrize("make", [Rules.admit, Pipelines], ids=["admit", "Pipelines"])
    def test_filling_the_same_tensors_again_changes_nothing(self, make, shape):
        """An agent may answer every batch in one buffer; what was scored is what is recorded."""
        tokens, params = torch.full((1, shape[1] if len(shape) == 3 else 3), END), numbers(*shape)
        tokens[0, :2] = torch.tensor([3, 1])
        pipelines = make(FREE, tokens, params)
        record = pipelines.record(0)
        tokens.fill_(2)
        params.fill_(0.5)
        assert pipelines.record(0) == record

    def test_inputs_are_left_alone(self):
        tokens, params = torch.tensor([[3, 3, END, 2]]), numbers(1, 4, P)
        kept = tokens.clone(), params.clone()
        FREE.admit(tokens, params)
        assert torch.equal(tokens, kept[0])
        assert torch.equal(params, kept[1])


ENVS = {
    (typed, repeats): gym.make(
        "ISP/Stepwise-v0",
        image_size=16,
        num_scenes=3,
        modules=list(MODULES),
        max_length=LENGTH,
        order="typed" if typed else "free",
        repeats=repeats,
    ).unwrapped
    for typed, repeats in KINDS
}


@every_kind
@settings(max_examples=30, deadline=None)
@given(row=st.lists(st.integers(0, END), min_size=LENGTH, max_size=LENGTH), seed=st.integers(0, 99))
def test_admit_is_what_a_walk_through_the_environment_leaves(kind, row, seed):
    env, params = ENVS[kind], numbers(LENGTH, P, seed=seed)
    env.reset(seed=seed)
    refused, ended = 0, False
    for token, own in zip([*row, END], [*params, params[0]], strict=True):
        if not ended:
            observation, _, ended, _, info = env.step({"module": token, "params": own.numpy()})
            refused += info["refused"]
    pipelines = env.transition.rules.admit(torch.tensor([row]), params[None])
    family = env._family
    assert torch.equal(family.tokens, pipelines.tokens)
    length = int(pipelines.lengths[0])
    assert torch.equal(family.params[0, :length], pipelines.params[0, :length])
    assert (info["length"], refused) == (length, int(pipelines.refused[0]))
    scene = env.transition.scenes.batch([info["scene"]])
    np.testing.assert_allclose(observation["image"], pipelines(scene.images)[0].clamp(0, 1), rtol=1e-6, atol=1e-7)


class TestShapes:
    @given(row=st.lists(st.integers(0, END), min_size=0, max_size=LENGTH + 3))
    def test_nothing_but_the_end_stands_after_the_first_end(self, row):
        tokens = torch.tensor([row], dtype=torch.int64)
        length = row.index(END) if END in row else len(row)
        if length > LENGTH:
            with pytest.raises(ValueError, match="more than 5 modules"):
                Pipelines(ANY, tokens, numbers(1, P))
            return
        pipelines = Pipelines(ANY, tokens, numbers(1, len(row), P))
        assert pipelines.tokens.tolist() == [row[:length] + [END] * (LENGTH - length)]
        assert pipelines.params.shape == (1, LENGTH, P)
        assert pipelines.lengths.tolist() == [length]

    def test_one_row_of_parameters_is_that_of_every_step(self):
        params = numbers(2, P)
        pipelines = Pipelines(ANY, torch.tensor([[0, 1], [2, END]]), params)
        assert torch.equal(pipelines.params, params[:, None].expand(2, LENGTH, P))

    def test_an_empty_batch(self):
        empty = Pipelines(FREE, torch.zeros(0, LENGTH, dtype=torch.int64), torch.zeros(0, P))
        assert (len(empty), empty.lengths.shape, empty.refused.shape) == (0, (0,), (0,))
        assert empty(torch.zeros(0, 3, 4, 4)).shape == (0, 3, 4, 4)
        assert len(FREE.admit(torch.zeros(0, 2, dtype=torch.int64), torch.zeros(0, 2, P))) == 0
        assert len(Pipelines.from_records(FREE, [])) == 0

    def test_pipelines_of_one_module(self):
        rules = Rules(BANK, 1)
        pipelines = rules.admit(torch.tensor([[3], [END]]), numbers(2, P))
        assert pipelines.lengths.tolist() == [1, 0]
        assert pipelines.names(0) == ("tone",)

    def test_rows_slices_and_joining(self):
        whole = ANY.admit(torch.tensor([[0, 0], [1, END], [2, 3]]), numbers(3, 2, P))
        assert whole[1:].tokens[:, 0].tolist() == [1, 2]
        assert whole[torch.tensor([2, 0])].tokens[:, 0].tolist() == [2, 0]
        refused = FREE.admit(torch.tensor([[0, 0], [1, END]]), numbers(2, P))
        assert refused[torch.tensor([1, 0])].refused.tolist() == [0, 1]
        joined = Pipelines.cat([whole[:1], whole[1:]])
        for name in ("tokens", "params", "refused"):
            assert torch.equal(getattr(joined, name), getattr(whole, name))

    def test_it_can_be_copied_and_sent(self):
        pipelines = made(0, 3, END)
        for twin in (copy.deepcopy(pipelines), pickle.loads(pickle.dumps(pipelines)), pipelines.to("cpu")):
            assert torch.equal(twin.tokens, pipelines.tokens)
            assert torch.equal(twin.params, pipelines.params)

    @pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32])
    def test_tokens_of_any_width(self, dtype):
        assert Pipelines(FREE, torch.tensor([[1, 2]], dtype=dtype), numbers(1, P)).tokens.dtype == torch.int64


TOKENS, PARAMS = torch.tensor([[0, 1, END], [2, END, END]]), numbers(2, P)


def changed(value, where=(1, 2)):
    params = PARAMS.clone()
    params[where] = value
    return params


BAD = {
    "list": ([[0]], PARAMS, "tokens must be a tensor, not list"),
    "params none": (TOKENS, None, "params must be a tensor, not NoneType"),
    "float tokens": (TOKENS.float(), PARAMS, "tokens must be int64"),
    "bool tokens": (TOKENS.bool(), PARAMS, "tokens must be int64"),
    "complex tokens": (TOKENS.to(torch.complex64), PARAMS, "tokens must be int64"),
    "flat tokens": (TOKENS[0], PARAMS, r"of shape \(B, L\)"),
    "negative token": (-TOKENS, PARAMS, rf"tokens must lie in \[0, {END}\]"),
    "unknown token": (TOKENS + 1, PARAMS, rf"tokens must lie in \[0, {END}\]"),
    "unknown token after the end": (torch.tensor([[END, 99], [0, END]]), PARAMS, "tokens must lie in"),
    "too long": (torch.zeros(2, LENGTH + 1, dtype=torch.int64), PARAMS, "more than 5 modules"),
    "integer params": (TOKENS, PARAMS.long(), "params must be floating point"),
    "bool params": (TOKENS, PARAMS.bool(), "params must be floating point"),
    "short params": (TOKENS, PARAMS[:, :-1], rf"params must be floating point of shape \(2, {P}\)"),
    "one row of params": (TOKENS, PARAMS[:1], "params must be floating point of shape"),
    "params of other steps": (TOKENS, numbers(2, 4, P), "params must be floating point of shape"),
    "nan": (TOKENS, changed(torch.nan), r"finite and lie in \[0, 1\]"),
    "infinite": (TOKENS, changed(torch.inf), r"finite and lie in \[0, 1\]"),
    "too high": (TOKENS, changed(1.0001), r"finite and lie in \[0, 1\]"),
    "too low": (TOKENS, changed(-0.0001), r"finite and lie in \[0, 1\]"),
    "another device": (TOKENS, PARAMS.to("meta"), "tokens are on cpu, params on meta"),
}


class TestRefusals:
    @pytest.mark.parametrize("kind", BAD)
    @pytest.mark.parametrize("make", [Rules.admit, Pipelines], ids=["admit", "Pipelines"])
    def test_what_cannot_be_meant_is_one_line(self, kind, make):
        tokens, params, message = BAD[kind]
        with pytest.raises(ValueError, match=message) as caught:
            make(ANY, tokens, params)
        assert "\n" not in str(caught.value)

    def test_illegal_steps_are_named(self):
        with pytest.raises(ValueError, match="step 2 of pipeline 0 may not be gamma: it was used before"):
            made(1, 0, 1)
        assert made(1, 0, 1, rules=ANY).names(0) == ("gamma", "exposure", "gamma")
        typed = RULES[True, True]
        closed = int(BANK.typed_mask(torch.zeros(1, END, dtype=torch.bool))[0].int().argmin())
        with pytest.raises(ValueError, match=f"may not be {MODULES[closed]}: it does not find its input domain"):
            made(closed, rules=typed)

    def test_counts_of_refused_steps_are_one_each(self):
        with pytest.raises(ValueError, match="3 counts of refused steps for 2 pipelines"):
            Pipelines(FREE, TOKENS, PARAMS, torch.zeros(3, dtype=torch.int64))


class TestRecords:
    @every_kind
    @settings(max_examples=25, deadline=None)
    @given(sequences=rows, seed=st.integers(0, 99))
    def test_they_bring_back_the_same_to_the_bit(self, kind, sequences, seed):
        rules, n = RULES[kind], len(sequences)
        pipelines = rules.admit(torch.tensor(sequences), numbers(n, LENGTH, P, seed=seed))
        text = json.dumps([pipelines.record(i) for i in range(n)])
        again = Pipelines.from_records(rules, json.loads(text))
        assert torch.equal(again.tokens, pipelines.tokens)
        assert [again.record(i) for i in range(n)] == [pipelines.record(i) for i in range(n)]
        images = numbers(n, 3, 6, 6, seed=seed)
        assert torch.equal(again(images), pipelines(images))

    def test_what_a_row_holds(self):
        row = made(5, 1, END).record(0)
        assert row["sequence"] == ["saturation", "gamma"]
        assert [len(own) for own in row["params"]] == [1, 1]
        assert [line.split()[0] for line in row["description"]] == row["sequence"]

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"sequence": ["blur", "gamma"]}, "bank 'stable' has no module 'blur'"),
            ({"sequence": ["gamma"]}, "2 rows of parameters for 1 modules"),
            ({"sequence": ["gamma"] * 9, "params": [[0.5]] * 9}, "for 9 modules of at most 5"),
            ({"sequence": ["ccm", "gamma"]}, "ccm takes 9 parameters, not 1"),
            ({"sequence": ["gamma", "gamma"]}, "used before"),
            ({"params": [[0.5], [1.5]]}, "finite and lie in"),
            ({"params": [[0.5], [float("nan")]]}, "finite and lie in"),
            ({"params": [[0.5], [None]]}, "must be numbers"),
            ({"params": [[0.5], ["0.5"]]}, "must be numbers"),
            ({"params": [[0.5], [True]]}, "must be numbers"),
            ({"params": [[0.5], [[0.5]]]}, "must be numbers"),
            ({"params": [0.5, 0.5]}, "lacks its modules or parameters"),
            ({"params": None}, "lacks its modules or parameters"),
        ],
    )
    def test_a_broken_row_is_one_line(self, change, message):
        row = {**made(5, 1).record(0), **change}
        with pytest.raises(ValueError, match=message) as caught:
            Pipelines.from_records(FREE, [row])
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("row", [{}, {"sequence": []}, [], None, 3])
    def test_what_is_no_row(self, row):
        with pytest.raises(ValueError, match="lacks its modules or parameters"):
            Pipelines.from_records(FREE, [row])


class TestParameters:
    def test_each_use_of_a_module_has_its_own(self):
        params = numbers(1, 2, P)
        twice = Pipelines(ANY, torch.tensor([[0, 0]]), params)
        images, token = numbers(1, 3, 5, 5), torch.tensor([0])
        expected = BANK.step(BANK.step(images, token, params[:, 0]), token, params[:, 1])
        assert torch.equal(twice(images), expected)
        assert twice.steps(0) == [params[0, i, BANK.slices[0]].tolist() for i in (0, 1)]
        assert twice.describe(0)[0] != twice.describe(0)[1]

    @pytest.mark.parametrize("shape", [(3, P), (3, 4, P)])
    def test_gradients_flow_into_what_was_given(self, shape):
        tokens = torch.tensor([[0, 0, 1, END], [3, END, 0, 0], [END, 0, 0, 0]])
        params = (numbers(*shape) * 0.8 + 0.1).requires_grad_()
        ANY.admit(tokens, params)(numbers(3, 3, 6, 6) * 0.5 + 0.2).square().sum().backward()
        used = torch.zeros(3, 4, P, dtype=torch.bool)
        for row, step in ((0, 0), (0, 1), (0, 2), (1, 0)):
            used[row, step, BANK.slices[int(tokens[row, step])]] = True
        assert torch.equal(params.grad != 0, used if len(shape) == 3 else used.any(1))

    def test_gradients_follow_the_steps_that_are_kept(self):
        params = (numbers(1, 3, P) * 0.8 + 0.1).requires_grad_()
        FREE.admit(torch.tensor([[0, 0, 1]]), params)(numbers(1, 3, 6, 6)).sum().backward()
        assert (params.grad != 0).any(2).tolist() == [[True, False, True]]

    def test_detached(self):
        pipelines = Pipelines(FREE, TOKENS, PARAMS.clone().requires_grad_())
        assert pipelines.params.requires_grad
        assert not pipelines.detach().params.requires_grad

    @every_kind
    @pytest.mark.parametrize("same", [False, True], ids=["own programs", "one program"])
    def test_equal_rows_are_one_row_to_the_bit(self, kind, same):
        """The bank gives the same images and gradients for (B, P) and for (B, L, P) that repeats it."""
        tokens = torch.randint(0, END, (6, LENGTH), generator=torch.Generator().manual_seed(1))
        tokens = RULES[kind].admit(tokens[:1].repeat(6, 1) if same else tokens, numbers(6, P)).tokens
        results = []
        for shape in ((6, P), (6, LENGTH, P)):
            params = numbers(6, P)
            params = (params if len(shape) == 2 else params[:, None].repeat(1, LENGTH, 1)).requires_grad_()
            images = (numbers(6, 3, 7, 7, seed=2) * 0.8).requires_grad_()
            out = BANK(images, tokens, params)
            out.square().sum().backward()
            results.append((out, images.grad, params.grad if len(shape) == 2 else params.grad.sum(1)))
        for one, other in zip(*results, strict=True):
            assert torch.equal(one, other)
