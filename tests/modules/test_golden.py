"""The reference bank against golden.npz (see the README beside it)."""

from pathlib import Path

import numpy as np
import pytest
import torch

from isp_gym.modules import MODULE_NAMES, get_bank

GOLDEN = {key: torch.from_numpy(value) for key, value in np.load(Path(__file__).with_name("golden.npz")).items()}
PIXELS = GOLDEN["pixels"].long()
TOLERANCE = {"sharpen": 1e-5, "ccm": 1e-5, "denoise": 1e-5, "saturation": 1e-5}
BANK = get_bank("reference")


def run(name, setting):
    """Input, parameter vector and output of one module, with gradients on."""
    token = BANK.names.index(name)
    params = BANK.neutral.clone()
    params[BANK.slices[token]] = GOLDEN[f"{name}/{setting}/params"]
    params.requires_grad_()
    image = GOLDEN["input"].clone().requires_grad_()
    return image, params, BANK(image, torch.full((2, 1), token), params.expand(2, -1))


def at_pixels(image):
    return image.flatten(2)[:, :, PIXELS]


@pytest.mark.parametrize("setting", ["p0.8", "ramp"])
@pytest.mark.parametrize("name", MODULE_NAMES)
def test_output(name, setting):
    _, _, output = run(name, setting)
    torch.testing.assert_close(
        at_pixels(output), GOLDEN[f"{name}/{setting}/output"], rtol=1e-6, atol=TOLERANCE.get(name, 1e-6)
    )


@pytest.mark.parametrize("setting", ["p0.8", "ramp"])
@pytest.mark.parametrize("name", MODULE_NAMES)
def test_physical(name, setting):
    params = torch.full((BANK.num_params,), 0.5)
    where = BANK.slices[BANK.names.index(name)]
    params[where] = GOLDEN[f"{name}/{setting}/params"]
    torch.testing.assert_close(BANK.physical(params)[where], GOLDEN[f"{name}/{setting}/physical"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MODULE_NAMES)
def test_gradients(name):
    image, params, output = run(name, "ramp")
    (output**2).mean().backward()
    where = BANK.slices[BANK.names.index(name)]
    scale = GOLDEN[f"{name}/ramp/grad_params"].abs().max()
    torch.testing.assert_close(
        params.grad[where] / scale, GOLDEN[f"{name}/ramp/grad_params"] / scale, rtol=0, atol=1e-5
    )
    assert not params.grad[: where.start].any() and not params.grad[where.stop :].any()

    # Not unique where two channels tie, or where a clamp bites.
    ends = torch.cat([at_pixels(GOLDEN["input"]), at_pixels(output.detach())], 1)
    gaps = at_pixels(GOLDEN["input"]).sort(1).values.diff(dim=1).amin(1, keepdim=True)
    unique = ((ends - 0.5).abs() < 0.4999).all(1, keepdim=True) & (gaps > 1e-4)
    expected = GOLDEN[f"{name}/ramp/grad_input"] * unique
    scale = expected.abs().max()
    torch.testing.assert_close(at_pixels(image.grad) * unique / scale, expected / scale, rtol=0, atol=1e-5)


def test_pipeline():
    output = BANK(GOLDEN["input"], GOLDEN["pipeline/sequence"].expand(2, -1), GOLDEN["pipeline/params"])
    torch.testing.assert_close(at_pixels(output), GOLDEN["pipeline/output"], rtol=0, atol=1e-5)
