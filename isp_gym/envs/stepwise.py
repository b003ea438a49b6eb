"""Stepwise environments: one action is one module with its parameters (the MDP of DRL-ISP and AdaptiveISP)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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
from isp_gym.modules import Bank


@dataclass
class PipelineState:
    """Pipelines under construction, one a lane.

    Attributes:
        images: Images so far, (n, 3, H, W), unclipped.
        used: Modules used so far, (n, K) bool.
        step: Actions taken so far, (n,) int64.
    """

    images: Tensor
    used: Tensor
    step: Tensor

    @classmethod
    def start(cls, images: Tensor, bank: Bank) -> PipelineState:
        """Nothing done yet."""
        n, device = len(images), images.device
        used = torch.zeros(n, bank.num_modules, dtype=torch.bool, device=device)
        return cls(images, used, torch.zeros(n, dtype=torch.int64, device=device))

    def observe(self) -> dict[str, Tensor]:
        """The observation of each lane, as fresh tensors."""
        return {"image": self.images.clamp(0, 1), "used": self.used.to(torch.int8), "step": self.step.clone()}

    def action_mask(self) -> Tensor:
        """Which tokens may be chosen, (n, K + 1) bool: unused modules, and always the stop."""
        return torch.cat([~self.used, torch.ones_like(self.used[:, :1])], 1)

    def admit(self, tokens: Tensor) -> Tensor:
        """The tokens with modules that were used before replaced by the stop token, which changes no image."""
        return tokens.where(self.action_mask().gather(1, tokens[:, None])[:, 0], self.used.shape[1])

    def record(self, tokens: Tensor, images: Tensor) -> None:
        """Note that admitted ``tokens`` made ``images``."""
        self.images = images
        self.used = self.used | (tokens[:, None] == torch.arange(self.used.shape[1], device=tokens.device))
        self.step = self.step + 1


Policy = Callable[[dict[str, Tensor]], tuple[Tensor, Tensor]]


@torch.no_grad()
def run_policy(policy: Policy, images: Tensor, bank: Bank, max_length: int) -> tuple[Tensor, Tensor]:
    """Let a stepwise policy build a pipeline for each image, without any reward.

    Args:
        policy: Maps observations (as of :class:`StepwiseEnv`, batched tensors) to tokens (n,) and parameters (n, P).
        images: Linear RGB inputs, (n, 3, H, W).
        bank: The ISP modules.
        max_length: Longest pipeline.

    Returns:
        Sequences (n, max_length) int64, padded with the end token, and parameters (n, P): the pipelines it built.
    """
    state = PipelineState.start(images, bank)
    sequences = torch.full((len(images), max_length), bank.end_token)
    params = bank.neutral.to(images).repeat(len(images), 1)
    alive = torch.ones(len(images), dtype=torch.bool)
    lengths = torch.zeros(len(images), dtype=torch.int64)
    for _ in range(max_length):
        asked, chosen = policy(state.observe())
        alive = alive & (asked != bank.end_token)
        tokens = state.admit(asked).where(alive, bank.end_token)
        for lane in torch.nonzero(tokens != bank.end_token).flatten().tolist():
            span = bank.slices[int(tokens[lane])]
            params[lane, span] = chosen[lane, span]
            sequences[lane, lengths[lane]] = tokens[lane]
            lengths[lane] += 1
        state.record(tokens, bank.step(state.images, tokens, chosen))
        if not alive.any():
            break
    return sequences, params


class StepwiseCore(Core):
    """State of the stepwise family: pipelines under construction, and what they are worth so far."""

    own_options = ("dense",)

    def __init__(self, transition: Transition, num_lanes: int, setting: Setting, dense: bool = True) -> None:
        super().__init__(transition, num_lanes, setting)
        bank, size = transition.bank, setting.image_size
        self.dense = dense
        self.single_observation_space = gym.spaces.Dict(
            {
                "image": image_space(size),
                "used": gym.spaces.MultiBinary(bank.num_modules),
                "step": gym.spaces.Discrete(self.max_length + 1),
            }
        )
        self.single_action_space = gym.spaces.Dict(
            {
                "module": gym.spaces.Discrete(bank.num_modules + 1),
                "params": gym.spaces.Box(0.0, 1.0, (bank.num_params,), np.float32),
            }
        )
        self.state = PipelineState.start(torch.zeros(num_lanes, 3, size, size, device=setting.device), bank)
        self._loss = torch.zeros(num_lanes, device=setting.device)  # L of the current images
        self._paid = torch.zeros(num_lanes, device=setting.device)  # the cost that rewards have been paid down to

    def begin(self, lanes: NDArray[np.int64], indices: NDArray[np.int64]) -> None:
        """Show the new scenes' inputs, with no module used."""
        super().begin(lanes, indices)
        where = torch.from_numpy(lanes)
        self.state.images = self.state.images.clone()
        self.state.images[where] = self.scenes.images[where]
        self.state.used[where] = False
        self.state.step[where] = 0
        losses = self.transition.initial_loss(self.scenes)
        self._loss[where] = self._paid[where] = losses[where]

    @torch.no_grad()
    def advance(self, actions: Any) -> Step:
        """Apply one module in each lane, or stop."""
        bank, device = self.transition.bank, self.state.images.device
        asked = check_tokens("module", field(actions, "module"), (self.num_lanes,), bank.end_token).to(device)
        params = check_params(field(actions, "params"), self.num_lanes, bank.num_params).to(device)
        tokens = self.state.admit(asked)
        images = self.transition.step(self.state.images, tokens, params)
        stopped = asked == bank.end_token
        terminated = stopped | (self.state.step + 1 >= self.max_length)
        settled = torch.ones_like(terminated) if self.dense else terminated
        changed = (self.state.used.any(1) if not self.dense else torch.zeros_like(stopped)) | (tokens != bank.end_token)
        self._score(images, changed & settled)
        rewards, penalty = self._settle(images, settled)
        self.state.record(tokens, images)
        info = {
            "loss": to_numpy(self._loss),
            "penalty": to_numpy(penalty),
            "length": to_numpy(self.state.used.sum(1)),
            "repeated": to_numpy(tokens != asked),
            "action_mask": self.action_masks(),
        }
        return Step(to_numpy(rewards).astype(np.float64), to_numpy(terminated), info)

    def _score(self, images: Tensor, where: Tensor) -> None:
        """Bring the losses of the lanes ``where`` up to date, at one task evaluation each."""
        lanes = torch.nonzero(where).flatten()
        if len(lanes):
            scenes = self.transition.scenes.batch(self.indices[lanes.cpu()])
            self._loss[lanes] = self.transition.loss(images[lanes], scenes)

    def _settle(self, images: Tensor, where: Tensor) -> tuple[Tensor, Tensor]:
        """Pay what the cost L + P fell by since the last payment; these payments telescope to Eq. 3.

        The first payment is made against L(in) alone, because Eq. 3 has no penalty on the input.
        """
        penalty = self.transition.reward.penalty(images)
        cost = self._loss + penalty
        rewards = torch.where(where, self._paid - cost, 0.0)
        self._paid = torch.where(where, cost, self._paid)
        return rewards, penalty

    def action_masks(self) -> NDArray[np.int8]:
        """Which tokens may be chosen, (n, K + 1): 1 for unused modules and for the stop."""
        return to_numpy(self.state.action_mask()).astype(np.int8)

    def observe(self) -> dict[str, Tensor]:
        """Image clipped to [0, 1], used modules, step."""
        return self.state.observe()

    def images(self) -> Tensor:
        """The images so far."""
        return self.state.images

    def start_info(self) -> dict[str, NDArray]:
        """Scene, loss of its input, and the action mask."""
        return {**super().start_info(), "action_mask": self.action_masks()}


class StepwiseEnv(ISPEnv):
    """A Markov decision process: one module with its parameters a step, until the stop action.

    Observation:
        ``{"image": Box(0, 1, (3, H, W)), "used": MultiBinary(K), "step": Discrete(max_length + 1)}``: the image so far,
        clipped to [0, 1], the modules used so far, and the number of actions taken.
    Action:
        ``{"module": Discrete(K + 1), "params": Box(0, 1, (P,))}``: a module token, or K to stop, and the normalised
        parameters (only those of the chosen module are used). A module that was used before changes nothing, costs its
        step, and sets ``info["repeated"]``; ``info["action_mask"]`` says which tokens are left.
    Reward:
        ``dense=True``: how much ``L + P`` fell in this step; ``dense=False``: the same, paid at the end. Either way
        the return without discount is ``L(in) - L(out) - P(out)``, exactly what :class:`SequenceEnv` pays for it.
    Termination:
        After the stop action or ``max_length`` actions. Never truncated.
    Info:
        ``scene``, ``initial_loss``, ``action_mask``; on step also ``loss``, ``penalty``, ``length``, ``repeated``. With
        ``dense=False``, ``loss`` is that of the input until the end.

    Keyword arguments are ``dense``, the fields of :class:`isp_gym.envs.setting.Setting`, and ``render_mode``.
    """

    core_class = StepwiseCore


class StepwiseVectorEnv(ISPVectorEnv):
    """``num_envs`` lanes of :class:`StepwiseEnv` that share one batched transition."""

    core_class = StepwiseCore
