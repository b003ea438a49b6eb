"""Stepwise environments: one action is one module with its parameters (the MDP of DRL-ISP and AdaptiveISP)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import gymnasium as gym
import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.envs.checks import check_box, check_integers
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.core import Core, Step, image_space
from isp_gym.envs.ledger import Ledger
from isp_gym.envs.pipeline import PipelineState
from isp_gym.envs.single import ISPEnv
from isp_gym.envs.transition import Transition
from isp_gym.envs.vector import ISPVectorEnv
from isp_gym.envs.views import (
    ActionVariant,
    Native,
    StepwiseBox,
    StepwiseDict,
    StepwiseDiscrete,
    StepwiseMultiDiscrete,
)
from isp_gym.pipelines import Pipelines, Rules

Policy = Callable[[PipelineState], tuple[Tensor, Tensor]]


@torch.no_grad()
def run_policy(policy: Policy, images: Tensor, rules: Rules) -> Pipelines:
    """Let a stepwise policy build a pipeline for each image, without any reward.

    Args:
        policy: Maps a state, whose :meth:`PipelineState.observe` is the observation of :class:`StepwiseEnv` as batched
            tensors, to tokens (n,) and parameters (n, P).
        images: Linear RGB inputs, (n, 3, H, W).
        rules: What a pipeline may be; as in the environment, a step that they do not allow changes nothing.

    Returns:
        The pipelines that it built, each step with the parameters that it was given; ``refused`` counts the steps that
        the rules did not allow.

    Raises:
        ValueError: The policy's tokens or parameters are none.
    """
    n, bank, state = len(images), rules.bank, PipelineState.start(images, rules)
    alive = torch.ones(n, dtype=torch.bool, device=images.device)
    refused = torch.zeros(n, dtype=torch.int64, device=images.device)
    for _ in range(rules.max_length):
        chosen, values = policy(state)
        asked = check_integers("module", chosen, (n,), bank.num_modules + 1, images.device)
        params = check_box("params", values, (n, bank.num_params), 0.0, images.device)
        alive = alive & (asked != bank.end_token)
        if not alive.any():
            break
        tokens = state.admit(asked).where(alive, bank.end_token)
        refused += alive & (tokens == bank.end_token)
        state.record(tokens, params, bank.step(state.images, tokens, params))
    return Pipelines(rules, state.sequences, state.params, refused)


class StepwiseCore(Core):
    """State of the stepwise family: pipelines under construction, and what they have been paid."""

    own_options = ("dense",)
    views: ClassVar[dict[str, type[ActionVariant]]] = {
        "dict": StepwiseDict,
        "box": StepwiseBox,
        "multidiscrete": StepwiseMultiDiscrete,
        "discrete": StepwiseDiscrete,
    }

    def __init__(self, transition: Transition, num_lanes: int, setting: EnvConfig, dense: bool = True) -> None:
        super().__init__(transition, num_lanes, setting)
        bank, image = transition.bank, image_space(setting.image_size)
        self.single_observation_space = gym.spaces.Dict(
            {
                "image": image,
                "used": gym.spaces.MultiBinary(bank.num_modules),
                "step": gym.spaces.Discrete(setting.length + 1),
            }
        )
        blank = torch.zeros(num_lanes, *image.shape, device=setting.device)
        self.state = PipelineState.start(blank, transition.rules)
        self.ledger = Ledger(transition, num_lanes, dense, setting.device)

    def _restart(self, lanes: Tensor, scenes: SceneBatch) -> None:
        self.state.restart(lanes, scenes.images)
        self.ledger.begin(lanes, scenes)

    @torch.no_grad()
    def advance(self, actions: Native) -> Step:
        """Apply one module in each lane, or stop."""
        end, asked, params = self.transition.bank.end_token, actions["module"], actions["params"]
        tokens = self.state.admit(asked)
        changed, terminated = tokens != end, (asked == end) | (self.state.step + 1 >= self.setting.length)
        self.ledger.require(changed, terminated)
        images = self.transition.step(self.state.images, tokens, params)
        payment = self.ledger.settle(images, self.scenes, changed, terminated)
        self.state.record(tokens, params, images)
        info = {
            "loss": payment.loss,
            "penalty": payment.penalty,
            "length": self.state.lengths,
            "refused": tokens != asked,
        }
        return Step(payment.rewards, terminated, info)

    def observe(self, lanes: Tensor | slice = slice(None)) -> dict[str, Tensor]:
        """Image clipped to [0, 1], used modules, step."""
        return self.state.observe(lanes)

    def images(self) -> Tensor:
        """The images so far."""
        return self.state.images

    def token_mask(self) -> Tensor:
        """The modules that the rules allow next, and the stop."""
        return self.state.token_mask()

    def describe(self, lane: int) -> list[str]:
        """The pipeline so far, a module a line."""
        return self.transition.bank.describe(self.state.sequences[lane], self.state.params[lane])


class StepwiseEnv(ISPEnv):
    """A Markov decision process: one module with its parameters a step, until the stop action.

    Observation:
        ``{"image": Box(0, 1, (3, H, W)), "used": MultiBinary(K), "step": Discrete(max_length + 1)}``: the image so far,
        clamped to [0, 1], the modules used so far, and the number of actions taken.
    Action:
        ``{"module": Discrete(K + 1), "params": Box(0, 1, (P,))}``: a module token, or K to stop, and the normalised
        parameters (only those of the chosen module are used, in this step only). A module that was used before (unless
        ``repeats=True``), or with ``order="typed"`` does not find its input domain, changes nothing, costs its step,
        and sets ``info["refused"]``; ``info["action_mask"]`` (``module_mask`` in the box view) says what is left. Other
        views: ``actions="box"``, ``"multidiscrete"``, ``"discrete"``.
    Reward:
        ``dense=True``: how much ``L + P`` fell in this step; ``dense=False``: the same, paid at the end. Either way
        the return without discount is ``L(in) - L(out) - P(out)``, exactly what :class:`SequenceEnv` pays for it.
    Termination:
        After the stop action or ``max_length`` actions. Never truncated.
    Info:
        ``scene``, ``initial_loss``, ``action_mask``; on step also ``loss``, ``penalty``, ``length``, ``refused``. With
        ``dense=False``, ``loss`` is that of the input until the end.
    State:
        The scene with its target or annotations; the image so far, (3, H, W) float32, *unclamped*; the modules in order
        of use with the parameters of each step; and the number of actions taken. In this state the process is Markov.
        It is observed in part: the image is seen clamped to [0, 1], so that highlights which a later module could bring
        back look alike, and neither the order and parameters of the modules nor the target is seen.

    Keyword arguments are ``dense``, those of :class:`isp_gym.envs.single.ISPEnv` and the fields of
    :class:`isp_gym.envs.config.EnvConfig`.
    """

    core_class = StepwiseCore


class StepwiseVectorEnv(ISPVectorEnv):
    """``num_envs`` sub-environments of :class:`StepwiseEnv` that share one batched transition."""

    core_class = StepwiseCore
