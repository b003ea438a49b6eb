"""The bank: per-image pipelines, independence of the batch, words, masks and errors."""

import json
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isp_gym.errors import UserError
from isp_gym.modules import BANKS, MODULE_NAMES, get_bank


@pytest.fixture(params=list(BANKS))
def bank(request):
    return get_bank(request.param)


def batch(bank, count=5, length=6, size=(11, 9), seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 3, *size, generator=generator)
    orders = [torch.randperm(bank.num_modules + 1, generator=generator)[:length] for _ in range(count)]
    sequences = torch.stack(orders)
    return images, sequences, torch.rand(count, bank.num_params, generator=generator)


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(list(BANKS)),
    count=st.integers(1, 4),
    length=st.integers(0, 6),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 2**20),
    extreme=st.booleans(),
)
def test_any_pipeline(name, count, length, size, seed, extreme):
    """Finite, of the right shape and dtype, and independent of the rest of the batch."""
    bank = get_bank(name)
    images, sequences, params = batch(bank, count, length, size, seed)
    if extreme:
        images, params = images.round(), params.round()
    before = images.clone(), sequences.clone(), params.clone()
    output = bank(images, sequences, params)
    assert output.isfinite().all() and output.shape == images.shape and output.dtype == images.dtype
    alone = torch.cat([bank(*(x[i : i + 1] for x in (images, sequences, params))) for i in range(count)])
    assert torch.equal(output, alone)
    assert all(torch.equal(a, b) for a, b in zip(before, (images, sequences, params), strict=True))


def test_gradients_do_not_depend_on_the_batch(bank):
    images, sequences, params = batch(bank)
    together = images.clone().requires_grad_(), params.clone().requires_grad_()
    bank(together[0], sequences, together[1]).square().sum().backward()
    for i in range(len(images)):
        x, p = images[i : i + 1].clone().requires_grad_(), params[i : i + 1].clone().requires_grad_()
        bank(x, sequences[i : i + 1], p).square().sum().backward()
        for one, all_ in ((x, together[0]), (p, together[1])):
            expected = torch.zeros_like(one) if one.grad is None else one.grad
            scale = expected.abs().max().item()
            torch.testing.assert_close(all_.grad[i : i + 1], expected, rtol=1e-4, atol=1e-5 * scale)


def test_steps_make_a_pipeline(bank):
    images, sequences, params = batch(bank)
    expected, done = images, torch.zeros(len(images), dtype=torch.bool)
    for tokens in sequences.T:
        done = done | (tokens == bank.end_token)
        expected = bank.step(expected, tokens.masked_fill(done, bank.end_token), params)
    torch.testing.assert_close(bank(images, sequences, params), expected)


def test_what_follows_the_end_is_ignored(bank):
    images, _, params = batch(bank, count=2)
    end = bank.end_token
    a = bank(images, torch.tensor([[0, end, 3, 4], [end, 1, 2, 3]]), params)
    b = bank(images, torch.tensor([[0, end, end, end], [end, end, end, end]]), params)
    assert torch.equal(a, b) and torch.equal(a[1], images[1]) and not torch.equal(a[0], images[0])


def test_a_module_may_come_twice(bank):
    images, _, params = batch(bank, count=1)
    twice = bank(images, torch.tensor([[0, 0]]), params)
    token = torch.tensor([0])
    torch.testing.assert_close(twice, bank.step(bank.step(images, token, params), token, params))


def test_costly_modules_wait_for_company(bank):
    """Images are independent, so denoising runs once for all that need it, at whatever step they do."""
    denoise = MODULE_NAMES.index("denoise")
    generator = torch.Generator().manual_seed(0)
    programs = [torch.randperm(bank.num_modules, generator=generator).tolist() for _ in range(8)]
    schedule = list(bank._schedule(programs))
    assert sum(token == denoise for token, _ in schedule) == 1
    order = [[token for token, places in schedule if row in dict(places)] for row in range(8)]
    assert order == programs


def test_schedule_runs_each_program_in_order(bank):
    """Empty programs, repeated modules and all; a group never holds an image twice."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(0, 7, (30,), generator=generator).tolist()
    programs = [torch.randint(0, bank.num_modules, (n,), generator=generator).tolist() for n in lengths]
    schedule = list(bank._schedule(programs))
    steps = [[(dict(places)[row], token) for token, places in schedule if row in dict(places)] for row in range(30)]
    assert steps == [list(enumerate(program)) for program in programs]
    assert all(len(dict(places)) == len(places) for _, places in schedule)
    assert len(schedule) < sum(lengths) / 2


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_dtypes(bank, dtype):
    images, sequences, params = batch(bank)
    images = images.to(torch.bfloat16).to(dtype)
    output = bank(images, sequences, params)
    assert output.dtype == bank.step(images, torch.ones(5, dtype=torch.int64), params).dtype == dtype
    expected = bank(images.float(), sequences, params)
    tolerance = 1e-3 if dtype == torch.float64 else 1e-2
    torch.testing.assert_close(output.float(), expected, rtol=tolerance, atol=tolerance)


def test_layout(bank):
    assert bank.names == MODULE_NAMES and bank.num_params == 27 and bank.end_token == bank.num_modules == 10
    assert [s.start for s in bank.slices] == [0, 1, 2, 11, 12, 13, 21, 22, 23, 24]
    assert bank.slices[-1].stop == 27
    assert bank.neutral.shape == (27,) and bank.neutral.dtype == torch.float32


def test_stable_neutral_pipeline_is_the_identity():
    bank = get_bank("stable")
    images = batch(bank)[0]
    output = bank(images, torch.arange(10).expand(5, -1), bank.neutral.expand(5, -1))
    torch.testing.assert_close(output, images, rtol=0, atol=1e-5)


def test_subset():
    full, part = get_bank("stable"), get_bank("stable", modules=("gamma", "ccm", "exposure"))
    assert part.names == ("gamma", "ccm", "exposure") and part.end_token == 3 and part.num_params == 11
    images, _, params = batch(full, count=2)
    mine = torch.cat([params[:, full.slices[full.names.index(name)]] for name in part.names], 1)
    expected = full(images, torch.tensor([[1, 2, 0], [0, 10, 10]]), params)
    assert torch.equal(part(images, torch.tensor([[0, 1, 2], [2, 3, 3]]), mine), expected)


def test_physical_takes_one_or_many(bank):
    params = torch.rand(4, 27)
    torch.testing.assert_close(bank.physical(params)[2], bank.physical(params[2]))


def test_describe():
    bank = get_bank("reference")
    params = bank.neutral.clone()
    params[0] = (1.85 + 3.5) / 7
    params[1] = (0.45 - 1 / 3) / (3 - 1 / 3)
    words = bank.describe(torch.tensor([0, 1, 9, 10, 3]), params)
    assert words == ["exposure +1.85 EV", "gamma 0.45", "white_balance R 1.00 G 1.00 B 1.00"]


def test_typed_mask(bank):
    def allowed(*used):
        flags = torch.zeros(1, 10, dtype=torch.bool)
        for name in used:
            flags[0, bank.names.index(name)] = True
        mask = bank.typed_mask(flags)[0]
        assert mask.shape == (11,) and mask[-1]
        return {name for name, yes in zip(bank.names, mask[:-1].tolist(), strict=True) if yes}

    anywhere = {"sharpen", "denoise", "tone", "desaturation"}
    assert allowed() == allowed("exposure", "denoise") == anywhere | {"exposure", "gamma", "ccm", "white_balance"}
    assert allowed("gamma") == allowed("tone", "ccm") == anywhere | {"contrast", "saturation"}


def test_typed_mask_without_a_way_to_display_light():
    bank = get_bank("stable", modules=("exposure", "contrast"))
    used = torch.tensor([[False, False], [False, True]])
    assert bank.typed_mask(used).tolist() == [[True, True, True], [False, True, True]]


def test_table_is_json(bank):
    rows = json.loads(json.dumps(bank.table()))
    assert [row["name"] for row in rows] == list(MODULE_NAMES)
    assert sum(len(row["parameters"]) for row in rows) == 27


def test_pickles(bank):
    images, sequences, params = batch(bank)
    copy = pickle.loads(pickle.dumps(bank))
    assert torch.equal(copy(images, sequences, params), bank(images, sequences, params))


def test_unknown_names():
    with pytest.raises(UserError, match=r"unknown bank 'stabel'.*stable"):
        get_bank("stabel")
    with pytest.raises(UserError, match=r"unknown module 'gama'.*gamma"):
        get_bank("stable", modules=("gama",))
    with pytest.raises(UserError, match="holds each module once, and 'gamma' is named twice"):
        get_bank("stable", modules=("gamma", "gamma"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, s, p: (x[:, :2], s, p), "images must"),
        (lambda x, s, p: ((x * 255).to(torch.uint8), s, p), "images must.*uint8"),
        (lambda x, s, p: (x, s[0], p), "sequences must"),
        (lambda x, s, p: (x, s.float(), p), "sequences must.*float32"),
        (lambda x, s, p: (x, s, p[:, 1:]), r"params must.*\(B, 27\)"),
        (lambda x, s, p: (x, s[:2], p), "batch sizes differ"),
        (lambda x, s, p: (x, s, p[:2]), "batch sizes differ"),
        (lambda x, s, p: (x, s.masked_fill(s == s, 11), p), "token 11"),
        (lambda x, s, p: (x, s.masked_fill(s == s, -1), p), "token -1"),
        (lambda x, s, p: (x, s, p + 1), r"params must be finite and lie in \[0, 1\]"),
        (lambda x, s, p: (x, s, p * float("nan")), "params must be finite"),
    ],
)
def test_bad_input(bank, change, message):
    with pytest.raises(ValueError, match=message):
        bank(*change(*batch(bank)))
