"""``check_module`` passes what is sound and catches what is broken, one fault at a time."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F

import isp_gym  # noqa: F401 (registers the environments)
from isp_gym.modules import BANKS, Bank, get_bank
from isp_gym.modules.base import Module, Parameter
from isp_gym.testing import check_bank, check_module


def module(apply, **changes):
    parameters = (Parameter("gain", "", 0.5, 2.0, neutral=1.0),)
    sound = Module(
        "gain",
        parameters,
        apply,
        input_domain="any",
        output_domain="any",
        clamps=False,
        formula="g x",
        reference="here",
    )
    return dataclasses.replace(sound, **changes)


def gain(x, p):
    return x * p[:, :, None, None]


class FlippedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad):
        return grad * -2


def writes_to_input(x, p):
    with torch.no_grad():
        x.mul_(0.5)
    return gain(x, p)


class FirstScaleForAll(Module):
    """Takes every parameter for logarithmic where the first one is."""

    def physical(self, params):
        offsets, slopes = torch.tensor([p.line for p in self.parameters], dtype=params.dtype).unbind(-1)
        value = params * slopes + offsets
        return value.exp() if self.parameters[0].log else value


class SwappedEnds(Module):
    """Goes from high to low."""

    def physical(self, params):
        return super().physical(1 - params)


MIXED = (
    Parameter("gain", "", 0.25, 4.0, neutral=1.0, log=True),
    Parameter("offset", "", 0.0, 0.5, neutral=0.0),
)


def gain_and_offset(x, p):
    return x * p[:, :1, None, None] + p[:, 1:, None, None]


def mixed(kind, parameters=MIXED, **changes):
    return kind("mixed", parameters, gain_and_offset, "any", "any", False, "g x + b", "here", **changes)


BROKEN_MODULES = {
    "mean over the batch": (module(lambda x, p: gain(x, p) - x.mean()), "batch"),
    "parameters of the first image": (module(lambda x, p: gain(x, p[:1])), "batch"),
    "writes to its input": (module(writes_to_input), "writes to its input"),
    "another dtype": (module(lambda x, p: gain(x, p).float()), "float64"),
    "crops": (module(lambda x, p: gain(x, p)[..., 1:]), "became"),
    "square images only": (module(lambda x, p: gain(x, p).transpose(2, 3)), "became"),
    "random": (module(lambda x, p: gain(x, p) + torch.rand(1, dtype=x.dtype) * 1e-3), "another output"),
    "not finite at black": (module(lambda x, p: gain(x, p).log()), "finite"),
    "does not clamp": (module(gain, clamps=True), "clamps"),
    "wrong gradient": (module(lambda x, p: gain(FlippedGradient.apply(x), p)), "gradients"),
    "no gradient": (module(lambda x, p: gain(x, p.detach()) + 0 * p.sum()), "gradients"),
    "no parameter": (module(gain, parameters=()), "parameter"),
    "unknown light": (module(gain, input_domain="dark"), "input_domain"),
    "first scale for all": (mixed(FirstScaleForAll), "'offset' at its low: physical gives 1, not 0"),
    "first scale for all, linear": (mixed(FirstScaleForAll, MIXED[::-1]), "'gain' at its low"),
    "wrong scale under a finish": (mixed(FirstScaleForAll, finish=torch.square), "'offset' at its low"),
    "swapped ends": (mixed(SwappedEnds), "'gain' at its low: physical gives 4, not 0.25"),
    "no version": (module(gain, version=0), "version"),
    "not a whole version": (module(gain, version=1.5), "version"),
    "blurs and says nothing": (module(lambda x, p: gain(x + x.roll(1, 3), p)), "more than the 0 pixels"),
    "blurs further than it says": (module(lambda x, p: gain(x + x.roll((3, 3), (2, 3)), p), radius=2), "the 2 pixels"),
    "subtracts the mean": (module(lambda x, p: gain(x - x.mean((2, 3), keepdim=True), p), radius=5), "whole image"),
    "vignettes": (module(lambda x, p: gain(x * torch.linspace(0, 1, x.shape[3], dtype=x.dtype), p)), "where it lies"),
    "half a pixel": (module(gain, radius=0.5), "radius must be"),
    "neutral outside": (module(gain, parameters=(Parameter("g", "", 0.5, 2, neutral=3),)), "neutral"),
}


class TestModule:
    @pytest.mark.parametrize("sound", [m for bank in BANKS.values() for m in bank], ids=lambda m: m.name)
    def test_every_module_passes(self, sound):
        check_module(sound)

    def test_the_sound_one_passes(self):
        check_module(module(gain))
        check_module(mixed(Module))
        check_module(mixed(Module, MIXED[::-1], finish=torch.square))

    @pytest.mark.parametrize("pad", ["constant", "replicate", "reflect", "circular"])
    def test_a_radius_may_be_declared_whatever_the_border(self, pad):
        def blur(x, p):
            return gain(F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode=pad), 5, stride=1), p)

        check_module(module(blur, radius=2))
        with pytest.raises(AssertionError, match="the 1 pixels"):
            check_module(module(blur, radius=1))

    def test_what_needs_the_whole_image_says_so(self):
        check_module(module(lambda x, p: gain(x - x.mean((2, 3), keepdim=True), p), radius=None))

    @pytest.mark.parametrize("kind", BROKEN_MODULES)
    def test_it_is_caught(self, kind):
        broken, message = BROKEN_MODULES[kind]
        with pytest.raises(AssertionError, match=message):
            check_module(broken)

    def test_something_else(self):
        with pytest.raises(AssertionError, match="not a function"):
            check_module(gain)


class TestBank:
    def test_ours_pass(self):
        check_bank(get_bank("stable", ["exposure", "tone"]))
        check_bank("reference", gradient=False)

    def test_a_broken_module_is_named(self):
        broken, message = BROKEN_MODULES["no version"]
        with pytest.raises(AssertionError, match=f"module 'gain': {message}"):
            check_bank(Bank("stable", [module(gain, name="sound"), broken]))

    def test_a_bank_that_its_name_does_not_make(self):
        with pytest.raises(AssertionError, match="makes another bank"):
            check_bank(Bank("stable", get_bank("reference", ["gamma"]).modules))
