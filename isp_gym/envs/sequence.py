"""Sequence environments: one action is a whole pipeline (the bandit of POS-ISP)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.core import Core, Step, image_space
from isp_gym.envs.pipeline import PipelineState
from isp_gym.envs.single import ISPEnv
from isp_gym.envs.transition import Transition
from isp_gym.envs.vector import ISPVectorEnv
from isp_gym.envs.views import ActionVariant, Native, SequenceBox, SequenceDict, SequenceMultiDiscrete


class SequenceCore(Core):
    """State of the sequence family: the scenes, and what the last pipelines made of them."""

    views: ClassVar[dict[str, type[ActionVariant]]] = {
        "dict": SequenceDict,
        "box": SequenceBox,
        "multidiscrete": SequenceMultiDiscrete,
    }

    def __init__(self, transition: Transition, num_lanes: int, setting: EnvConfig) -> None:
        super().__init__(transition, num_lanes, setting)
        self.single_observation_space = image_space(setting.image_size)
        blank = torch.zeros(num_lanes, *self.single_observation_space.shape, device=setting.device)
        self.state = PipelineState.start(blank, transition.rules)

    def _restart(self, lanes: Tensor, scenes: SceneBatch) -> None:
        self.state.restart(lanes, scenes.images)

    @torch.no_grad()
    def advance(self, actions: Native) -> Step:
        """Run the pipelines; every episode ends."""
        pipelines, state = self.transition.rules.admit(actions["sequence"], actions["params"]), self.state
        outcome = self.transition.play(self.scenes, pipelines)
        state.images, state.sequences, state.params = outcome.images, pipelines.tokens, pipelines.params.clone()
        lengths = pipelines.lengths
        info = {"loss": outcome.loss, "penalty": outcome.penalty, "length": lengths, "refused": pipelines.refused}
        return Step(outcome.reward, torch.ones_like(lengths, dtype=torch.bool), info)

    def observe(self, lanes: Tensor | slice = slice(None)) -> Tensor:
        """The images, clipped to [0, 1]."""
        return self.state.images[lanes].clamp(0, 1)

    def images(self) -> Tensor:
        """The input before the action, the output after it."""
        return self.state.images

    def token_mask(self) -> Tensor:
        """The modules that may come first."""
        return self.state.token_mask()

    def describe(self, lane: int) -> list[str]:
        """The pipeline, a module a line."""
        return self.transition.bank.describe(self.state.sequences[lane], self.state.params[lane])


class SequenceEnv(ISPEnv):
    """A bandit: show an image, take a whole pipeline, pay once.

    Observation:
        The linear RAW-RGB input, ``Box(0, 1, (3, H, W), float32)``; after the step, the output, clipped.
    Action:
        ``{"sequence": MultiDiscrete([K + 1] * max_length), "params": Box(0, 1, (P,))}``: module tokens 0..K-1 in order
        of use, closed by the end token K (what follows it is ignored), and the normalised parameters of all modules.
        A module that is named again (unless ``repeats=True``), or with ``order="typed"`` does not find its input
        domain, is dropped, and counted in ``info["refused"]``. Other views: ``actions="box"``, ``"multidiscrete"``.
    Reward:
        ``L(in) - L(out) - P(out)``, Eq. 3 and 4 of POS-ISP.
    Termination:
        After the one step, always. Never truncated.
    Info:
        On reset ``scene``, ``initial_loss`` and ``action_mask`` (what may come first; ``module_mask`` in the box view);
        on step also ``loss``, ``penalty``, ``length``, ``refused``.
    State:
        The scene with its target or annotations, which are never observed. The input lies in [0, 1] and is seen as it
        is. After the step also the output, *unclamped*: the observation shows it clamped to [0, 1], and not the
        pipeline or the parameters that made it.

    Keyword arguments are those of :class:`isp_gym.envs.single.ISPEnv` and the fields of
    :class:`isp_gym.envs.config.EnvConfig`.
    """

    core_class = SequenceCore


class SequenceVectorEnv(ISPVectorEnv):
    """``num_envs`` sub-environments of :class:`SequenceEnv` that share one batched transition."""

    core_class = SequenceCore
