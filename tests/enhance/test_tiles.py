"""What is computed in tiles is what is computed on the whole image."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from isp_gym.enhance import apply_in_tiles, apply_pipeline
from isp_gym.enhance.tiles import spans
from isp_gym.modules import BANKS, get_bank
from isp_gym.pipelines import Rules

MODULES = [pytest.param(module, id=f"{bank}-{module.name}") for bank in BANKS for module in BANKS[bank]]


def tiled(function, image, radius, side):
    out = torch.full_like(image, torch.nan)
    apply_in_tiles(function, image, out, radius, side)
    return out


@settings(deadline=None)
@given(size=st.integers(1, 60), side=st.integers(1, 70), radius=st.integers(0, 9))
def test_tiles_cover_an_axis_once_and_windows_hold_what_lies_round_them(size, side, radius):
    covered = []
    for span in spans(size, side, radius):
        window = [i for piece in span.window for i in range(size)[piece]]
        tile = list(range(size))[span.tile]
        assert len(window) == len(set(window)) and window[span.inner] == tile
        assert {i % size for k in tile for i in range(k - radius, k + radius + 1)} <= set(window)
        covered += tile
    assert covered == list(range(size))


@pytest.mark.parametrize("pad", ["constant", "replicate", "reflect", "circular"])
@given(height=st.integers(4, 30), width=st.integers(4, 30), side=st.integers(1, 31))
@settings(max_examples=40, deadline=None)
def test_borders_are_those_of_the_whole_image_however_they_are_treated(pad, height, width, side):
    image = torch.rand(3, height, width, dtype=torch.float64)
    kernel = torch.rand(3, 1, 7, 7, dtype=torch.float64)  # of no symmetry

    def blur(images):
        return F.conv2d(F.pad(images, (3, 3, 3, 3), mode=pad), kernel, groups=3)

    torch.testing.assert_close(tiled(blur, image, 3, side), blur(image[None])[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_of_both_banks_is_seamless(module):
    image, params = torch.rand(3, 50, 61), module.physical(torch.rand(1, len(module.parameters)))
    whole = module.apply(image[None], params)[0]
    for side in (19, 50):
        parts = tiled(lambda window: module.apply(window, params), image, module.radius, side)
        torch.testing.assert_close(parts, whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("module", [module for module in BANKS["stable"] if module.radius])
def test_a_smaller_radius_than_declared_would_leave_seams(module):
    # So flat that no weight of the denoiser is negligible.
    image = 0.5 + 1e-3 * torch.rand(3, 40, 40, dtype=torch.float64)
    params = module.physical(torch.full((1, 1), 0.9, dtype=torch.float64))
    whole = module.apply(image[None], params)[0]
    for radius, seamless in ((module.radius, True), (module.radius - 1, False)):
        parts = tiled(lambda window: module.apply(window, params), image, radius, 20)
        assert ((parts - whole).abs().max() < 1e-12) == seamless


def test_what_depends_on_the_whole_image_is_given_it():
    image = torch.rand(3, 40, 40)
    torch.testing.assert_close(tiled(lambda x: x - x.mean(), image, None, 16), image - image.mean())


@st.composite
def programs(draw):
    bank = get_bank(draw(st.sampled_from(sorted(BANKS))))
    tokens = draw(st.lists(st.integers(0, bank.num_modules - 1), max_size=5))
    return bank, tokens


@given(program=programs(), height=st.integers(8, 40), width=st.integers(8, 40), side=st.integers(7, 41))
@settings(max_examples=60, deadline=None)
def test_a_pipeline_in_tiles_is_the_pipeline_on_the_whole_image(program, height, width, side):
    bank, tokens = program
    rules = Rules(bank, 5, repeats=True)
    generator = torch.Generator().manual_seed(height * width)
    # In double precision, for some modules raise a difference of rounding a thousandfold.
    image = torch.rand(3, height, width, dtype=torch.float64, generator=generator)
    params = torch.rand(1, 5, bank.num_params, dtype=torch.float64, generator=generator)
    pipeline = rules.admit(torch.tensor([tokens + [bank.end_token] * (5 - len(tokens))]), params)
    whole = pipeline(image[None])[0]
    torch.testing.assert_close(apply_pipeline(pipeline, image.clone(), side), whole, rtol=1e-6, atol=1e-6)


def test_a_batch_of_several_pipelines_is_refused():
    rules = Rules(get_bank("stable"), 3)
    with pytest.raises(ValueError, match="one pipeline, not of 2"):
        apply_pipeline(rules.admit(torch.zeros(2, 3, dtype=torch.int64), torch.rand(2, 27)), torch.rand(3, 8, 8))
