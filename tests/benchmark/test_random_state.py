import io
import random

import numpy as np
import pytest
import torch

from isp_gym.benchmark.random_state import random_state, seed_everything, set_random_state, undisturbed


def draw():
    return [random.random(), float(np.random.normal()), float(torch.rand(1)), *map(float, np.random.rand(2))]


@pytest.mark.parametrize("seed", [0, 12345, 2**32, 2**63 + 11, 2**64 - 1])
def test_every_seed_of_64_bits_seeds_all_generators(seed):
    for_environments = seed_everything(seed)
    assert 0 <= for_environments < 2**32
    first = draw()
    assert (seed_everything(seed), draw()) == (for_environments, first)
    assert seed_everything(seed - 1 if seed else 1) != for_environments and not set(first) & set(draw())
    assert torch.get_num_threads() == 1


def test_neighbouring_seeds_share_no_sub_environment():
    seeds = sorted(seed_everything(seed) for seed in range(200))
    assert min(np.diff(seeds)) > 1000


def test_a_state_goes_through_a_file_without_pickled_objects():
    draw()  # numpy keeps the second of a pair of normal numbers
    file = io.BytesIO()
    torch.save(random_state(), file)
    first = [draw() for _ in range(3)]
    set_random_state(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    assert [draw() for _ in range(3)] == first


def test_whoever_looks_on_draws_none():
    seed_everything(3)
    expected = draw()
    seed_everything(3)
    with pytest.raises(ZeroDivisionError), undisturbed():
        draw()
        torch.manual_seed(9)
        1 / 0  # noqa: B018
    assert draw() == expected
