"""``check_reward`` passes what is sound and catches what is broken, one fault at a time."""

import pytest
import torch

import isp_gym  # noqa: F401 (registers the environments)
from isp_gym.rewards import REWARDS, RewardTerm
from isp_gym.testing import check_reward


class Light(RewardTerm):
    """The mean of the image."""

    name, low, high, uses = "light", 0.0, 1.0, "image"
    description = reference = "here"

    def map(self, frame, source, scenes):
        return frame.images.mean(1)


def light(change, **declared):
    """The sound term with its map changed."""

    def mapped(self, frame, source, scenes):
        return change(frame.images.mean(1), frame, source, scenes)

    return type("Changed", (Light,), {"map": mapped, **declared})()


def writes(x, frame, source, scenes):
    with torch.no_grad():
        frame.images.mul_(0.5)
    return x


BROKEN = {
    "a number an image": (light(lambda x, *_: x.mean(dim=(1, 2))), "the map must be"),
    "another size": (light(lambda x, *_: x[:, 1:]), "the map must be"),
    "mean over the batch": (light(lambda x, *_: (x - x.mean()).clamp(0, 1)), "batch"),
    "not finite at black": (light(lambda x, *_: x / x), "finite"),
    "above its bound": (light(lambda x, *_: x * 1.5), "leave the bounds"),
    "below its bound": (light(lambda x, *_: x - 0.2), "leave the bounds"),
    "writes to the image": (light(writes), "writes"),
    "random": (light(lambda x, *_: x * torch.rand(1)), "another map"),
    "looks at the input": (light(lambda x, frame, source, _: x * source.images.mean(1)), "looks at the input"),
    "no gradient": (light(lambda x, *_: x.detach()), "no gradient"),
    "gradient of zero": (light(lambda x, *_: x * 0 + 0.5), "zero everywhere"),
    "gradient that is not finite": (light(lambda x, *_: (x * 0).sqrt() + 0.5), "gradient of the map is not finite"),
    "unknown use": (light(lambda x, *_: x, uses="picture"), "uses must be"),
    "bounds upside down": (light(lambda x, *_: x, low=2.0), "low must be below high"),
}


@pytest.mark.parametrize("name", REWARDS)
def test_ours_pass(name):
    check_reward(name)


def test_the_sound_ones_pass():
    check_reward(Light())
    check_reward(light(lambda x, *_: x.mean(dim=(1, 2), keepdim=True)))
    check_reward(light(lambda x, frame, source, _: x * source.images.mean(1), uses="image, input"))


@pytest.mark.parametrize("kind", BROKEN)
def test_it_is_caught(kind):
    broken, message = BROKEN[kind]
    with pytest.raises(AssertionError, match=message):
        check_reward(broken)


def test_what_is_not_declared():
    class Bare(RewardTerm):
        def map(self, frame, source, scenes):
            return frame.images.mean(1)

    with pytest.raises(AssertionError, match="name is missing"):
        check_reward(Bare())
    with pytest.raises(AssertionError, match="is a RewardTerm, not"):
        check_reward(Light)
