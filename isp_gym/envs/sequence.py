"""Sequence environments: one action is a whole pipeline (the bandit of POS-ISP)."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isp_gym.envs.base import ISPEnv, ISPVectorEnv
from isp_gym.envs.core import Core, Step, check_params, check_tokens, field, image_space, to_numpy
from isp_gym.envs.setting import Setting
from isp_gym.envs.transition import Transition


def drop_repeats(sequences: Tensor, end_token: int) -> Tensor:
    """Keep each module's first use and close the gaps.

    Args:
        sequences: (B, L) int64 tokens; what follows the first end token of a row is ignored.
        end_token: Token that ends a sequence.

    Returns:
        (B, L) int64, padded with the end token.
    """
    alive = (sequences != end_token).cumprod(1).bool()
    earlier = torch.ones(sequences.shape[1], sequences.shape[1], dtype=torch.bool).tril(-1)
    repeated = ((sequences[:, :, None] == sequences[:, None, :]) & earlier).any(2)
    keep = alive & ~repeated
    order = (~keep).int().argsort(dim=1, stable=True)
    return sequences.where(keep, torch.tensor(end_token)).gather(1, order)


class SequenceCore(Core):
    """State of the sequence family: the scenes, and the images that the last pipelines made of them."""

    def __init__(self, transition: Transition, num_lanes: int, setting: Setting) -> None:
        super().__init__(transition, num_lanes, setting)
        bank, size = transition.bank, setting.image_size
        self.single_observation_space = image_space(size)
        self.single_action_space = gym.spaces.Dict(
            {
                "sequence": gym.spaces.MultiDiscrete([bank.num_modules + 1] * self.max_length),
                "params": gym.spaces.Box(0.0, 1.0, (bank.num_params,), np.float32),
            }
        )
        self._images = torch.zeros(num_lanes, 3, size, size, device=setting.device)

    def begin(self, lanes: NDArray[np.int64], indices: NDArray[np.int64]) -> None:
        """Show the new scenes' inputs."""
        super().begin(lanes, indices)
        where = torch.from_numpy(lanes)
        self._images[where] = self.scenes.images[where]

    @torch.no_grad()
    def advance(self, actions: Any) -> Step:
        """Run the pipelines; every episode ends."""
        end, device = self.transition.bank.end_token, self._images.device
        shape = (self.num_lanes, self.max_length)
        asked = check_tokens("sequence", field(actions, "sequence"), shape, end)
        params = check_params(field(actions, "params"), self.num_lanes, self.transition.bank.num_params)
        sequences = drop_repeats(asked, end)
        outcome = self.transition.play(self.scenes, sequences.to(device), params.to(device))
        self._images = outcome.images
        lengths = (sequences != end).sum(1)
        info = {
            "loss": to_numpy(outcome.loss),
            "penalty": to_numpy(outcome.penalty),
            "length": to_numpy(lengths),
            "repeats": to_numpy((asked != end).cumprod(1).sum(1) - lengths),
        }
        return Step(to_numpy(outcome.reward).astype(np.float64), np.ones(self.num_lanes, bool), info)

    def observe(self) -> Tensor:
        """The images, clipped to [0, 1]."""
        return self._images.clamp(0, 1)

    def images(self) -> Tensor:
        """The input before the action, the output after it."""
        return self._images


class SequenceEnv(ISPEnv):
    """A bandit: show an image, take a whole pipeline, pay once.

    Observation:
        The linear RAW-RGB input, ``Box(0, 1, (3, H, W), float32)``; after the step, the output, clipped.
    Action:
        ``{"sequence": MultiDiscrete([K + 1] * max_length), "params": Box(0, 1, (P,))}``: module tokens 0..K-1 in order
        of use, closed by the end token K (what follows it is ignored), and the normalised parameters of all modules.
        A module that is named again is skipped, and counted in ``info["repeats"]``.
    Reward:
        ``L(in) - L(out) - P(out)``, Eq. 3 and 4 of POS-ISP.
    Termination:
        After the one step, always. Never truncated.
    Info:
        On reset ``scene``, ``initial_loss``; on step also ``loss``, ``penalty``, ``length``, ``repeats``.

    Keyword arguments are the fields of :class:`isp_gym.envs.setting.Setting`, and ``render_mode``.
    """

    core_class = SequenceCore


class SequenceVectorEnv(ISPVectorEnv):
    """``num_envs`` lanes of :class:`SequenceEnv` that share one batched transition."""

    core_class = SequenceCore
