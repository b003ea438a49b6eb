"""A module's scales: normalised parameters to physical ones."""

import math

import pytest
import torch

from isp_gym.modules.base import Module, Parameter

LOG = Parameter("gain", "", 0.25, 4.0, neutral=1.0, log=True)
LINEAR = Parameter("offset", "", 0.0, 2.0, neutral=0.5)
SAME_LINE = Parameter("other", "", math.log(0.25), math.log(4.0), neutral=0.0)
KELVIN = Parameter("temperature", "K", 2000.0, 12000.0, neutral=6500.0)


def module(*parameters, finish=None):
    return Module("m", parameters, torch.mul, "any", "any", False, "", "", finish=finish)


class TestPhysical:
    @pytest.mark.parametrize(
        ("parameters", "expected"),
        [
            ((LOG, LINEAR), [1.0, 1.0]),
            ((LINEAR, LOG), [1.0, 1.0]),
            ((LOG, LOG), [1.0, 1.0]),
            ((LINEAR, LINEAR), [1.0, 1.0]),
            ((LOG, SAME_LINE), [1.0, 0.0]),
            ((SAME_LINE, LOG, LINEAR), [0.0, 1.0, 1.0]),
        ],
    )
    def test_each_parameter_has_its_own_scale(self, parameters, expected):
        half = torch.full((len(parameters),), 0.5)
        torch.testing.assert_close(module(*parameters).physical(half), torch.tensor(expected), atol=1e-6, rtol=1e-6)

    @pytest.mark.parametrize("parameters", [(LOG, LINEAR, KELVIN), (LINEAR, LOG), (LOG, SAME_LINE)])
    def test_ends_and_neutral(self, parameters):
        neutral = [p.normalised_neutral for p in parameters]
        scale = torch.tensor([[0.0] * len(parameters), [1.0] * len(parameters), neutral])
        expected = torch.tensor(
            [[p.low for p in parameters], [p.high for p in parameters], [p.neutral for p in parameters]]
        )
        torch.testing.assert_close(module(*parameters).physical(scale), expected, atol=1e-5, rtol=1e-5)

    def test_gradients_of_large_linear_values_beside_a_logarithm(self):
        params = torch.full((2, 2), 0.5, requires_grad=True)
        module(LOG, KELVIN).physical(params).sum().backward()
        torch.testing.assert_close(params.grad, torch.tensor([[math.log(16), 10000.0]]).expand(2, -1))

    def test_finish_comes_last(self):
        assert module(LOG, LINEAR, finish=torch.neg).physical(torch.tensor([1.0, 1.0])).tolist() == [-4.0, -2.0]
