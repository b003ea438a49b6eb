"""Banks and modules on any device: sequences may stay on the CPU, everything else lies with the images."""

import pytest
import torch

from isp_gym.modules import BANKS, MODULE_NAMES, get_bank
from isp_gym.modules.base import Module, Parameter

MODULES = [pytest.param(name, k, id=f"{name}-{m.name}") for name, bank in BANKS.items() for k, m in enumerate(bank)]


@pytest.fixture(params=list(BANKS))
def bank(request):
    """All but denoise, whose thousands of operations have a test below."""
    return get_bank(request.param, [name for name in MODULE_NAMES if name != "denoise"])


@pytest.mark.parametrize("grad", [False, True])
def test_mixed_pipelines(device, bank, grad):
    images = device.rand(5, 3, 17, 23, grad=grad)
    params = device.rand(5, bank.num_params, grad=grad)
    sequences = torch.stack([torch.randperm(bank.num_modules + 1)[:6] for _ in range(5)])
    output = bank(images, sequences, params)
    assert output.shape == images.shape and device.has(output)
    if grad:
        output.sum().backward()
        assert device.has(images.grad, params.grad)


@pytest.mark.parametrize(("name", "token"), MODULES)
def test_each_module(device, name, token):
    bank = get_bank(name)
    images, params = device.rand(2, 3, 16, 16, grad=True), device.rand(2, bank.num_params, grad=True)
    output = bank.step(images, torch.tensor([token, token]), params)
    assert output.shape == images.shape and output.dtype == images.dtype and device.has(output)
    output.sum().backward()
    assert device.has(images.grad, params.grad)


def test_half_precision(device, bank):
    output = bank(device.rand(2, 3, 16, 16).half(), torch.tensor([[0, 1], [4, 9]]), device.rand(2, bank.num_params))
    assert output.dtype == torch.float16 and device.has(output)


def test_physical_units(device, bank):
    physical = bank.physical(device.rand(4, bank.num_params))
    assert physical.shape == (4, bank.num_params) and device.has(physical)


def test_mixed_scales(device):
    parameters = (
        Parameter("gain", "", 0.5, 2.0, neutral=1.0, log=True),
        Parameter("offset", "", 0.0, 1.0, neutral=0.0),
    )
    module = Module("mixed", parameters, torch.mul, "any", "any", False, "", "")
    assert device.has(module.physical(device.rand(4, 2)))


def test_typed_mask(device, bank):
    mask = bank.typed_mask(device.rand(3, bank.num_modules) > 0.5)
    assert mask.shape == (3, bank.num_modules + 1) and device.has(mask)
