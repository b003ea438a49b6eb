"""Sequence environments: one action is a whole pipeline (the bandit of POS-ISP)."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.envs.actions import ActionVariant, Native, check_box, check_integers, entry
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.family import Family, Step, image_space
from isp_gym.envs.single import ISPEnv
from isp_gym.envs.vector import ISPVectorEnv
from isp_gym.modules import Bank
from isp_gym.pipelines import Pipelines


class SequenceDict(ActionVariant):
    """``{"sequence": MultiDiscrete([K + 1] * L), "params": Box(0, 1, (P,))}``: the native form."""

    def __init__(self, bank: Bank, config: EnvConfig, bins: int) -> None:
        super().__init__(bank, config, bins)
        self.space = gym.spaces.Dict(
            {
                "sequence": gym.spaces.MultiDiscrete([bank.num_modules + 1] * self.length),
                "params": gym.spaces.Box(0.0, 1.0, (bank.num_params,), np.float32),
            }
        )

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """Return them as they are, checked."""
        n, bank = len(token_mask), self.bank
        asked = entry(actions, "sequence")
        sequence = check_integers("sequence", asked, (n, self.length), bank.num_modules + 1, self.device)
        return {
            "sequence": sequence,
            "params": check_box("params", entry(actions, "params"), (n, bank.num_params), 0.0, self.device),
        }


class SequenceBox(ActionVariant):
    """``Box(-1, 1, (K + 1 + P,))``: K + 1 preferences, then P parameters.

    The pipeline is the modules in falling order of preference, down to that of the end token: every action is a
    pipeline without repeats, also where the rules allow them. Parameter p is ``(a + 1) / 2``.
    """

    mask_name = "module_mask"

    def __init__(self, bank: Bank, config: EnvConfig, bins: int) -> None:
        super().__init__(bank, config, bins)
        self.shape = (bank.num_modules + 1 + bank.num_params,)
        self.space = gym.spaces.Box(-1.0, 1.0, self.shape, np.float32)

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """Return the modules sorted by preference, and the parameters."""
        flat = check_box("action", actions, (len(token_mask), *self.shape), -1.0, self.device)
        preferences, params = flat.split([self.bank.num_modules + 1, self.bank.num_params], dim=1)
        ranked = preferences.argsort(dim=1, descending=True, stable=True)
        padded = torch.nn.functional.pad(ranked, (0, self.length), value=self.bank.end_token)
        return {"sequence": padded[:, : self.length], "params": (params + 1) / 2}


class SequenceMultiDiscrete(ActionVariant):
    """``MultiDiscrete([K + 1] * L + [bins] * P)``: the tokens, then the bin of every parameter."""

    def __init__(self, bank: Bank, config: EnvConfig, bins: int) -> None:
        super().__init__(bank, config, bins)
        self.counts = [*[bank.num_modules + 1] * self.length, *[bins] * bank.num_params]
        self.shape = (len(self.counts),)
        self.space = gym.spaces.MultiDiscrete(self.counts)

    def decode(self, actions: Any, token_mask: Tensor) -> Native:
        """Return the sequence, and the parameters that the bins stand for."""
        shape = (len(token_mask), *self.shape)
        chosen = check_integers("action", actions, shape, self.counts, self.device)
        return {"sequence": chosen[:, : self.length], "params": self._binned(chosen[:, self.length :])}

    def mask(self, token_mask: Tensor) -> Tensor:
        """Return what may come first, then everything: what may follow depends on it, which a flat mask cannot say."""
        free = (self.length - 1) * (self.bank.num_modules + 1) + self.bank.num_params * self.bins
        return torch.cat([token_mask, token_mask.new_ones(len(token_mask), free)], 1)


class SequenceFamily(Family):
    """State of the sequence family: the scenes, and the last pipelines with what they made of them."""

    variants: ClassVar[dict[str, type[ActionVariant]]] = {
        "dict": SequenceDict,
        "box": SequenceBox,
        "multidiscrete": SequenceMultiDiscrete,
    }

    def __init__(self, num_envs: int, config: EnvConfig, actions: str | None, bins: int, output: str) -> None:
        super().__init__(num_envs, config, actions, bins, output)
        self.single_observation_space = image_space(config.image_size)
        self.pipelines: Pipelines | None = None
        unused = torch.zeros(num_envs, self.transition.bank.num_modules, dtype=torch.bool, device=config.device)
        self._first = self.transition.rules.allowed(unused)

    def _restart(self, where: Tensor, scenes: SceneBatch) -> None:
        self.pipelines = None  # all episodes end together

    def _advance(self, actions: Native) -> Step:
        """Run the pipelines; every episode ends."""
        pipelines = self.transition.rules.admit(actions["sequence"], actions["params"])
        outcome = self.transition.play(self.scenes, pipelines)
        self.images, self.pipelines = outcome.images, pipelines
        lengths = pipelines.lengths
        info = {"loss": outcome.loss, "penalty": outcome.penalty, "length": lengths, "refused": pipelines.refused}
        return Step(outcome.reward, torch.ones_like(lengths, dtype=torch.bool), info)

    def observe(self, where: Tensor | slice = slice(None)) -> Tensor:
        """Return the images, clamped to [0, 1]: inputs before the action, outputs after it."""
        return self.images[where].clamp(0, 1)

    def token_mask(self) -> Tensor:
        """Return the modules that may come first."""
        return self._first.clone()

    def describe(self, i: int) -> list[str]:
        """Say what the pipeline does, one line per module."""
        return [] if self.pipelines is None else self.pipelines.describe(i)


class SequenceEnv(ISPEnv):
    """A bandit: show an image, take a whole pipeline, reward it once.

    K modules with P parameters, L = ``max_length``, images of H x W pixels.

    Observation:
        ``Box(0, 1, (3, H, W), float32)``: the linear RAW-RGB input; after the step, the output, clamped to [0, 1].
    Action:
        A dict; other variants: ``actions="box"``, ``"multidiscrete"``.

        - ``sequence``: ``MultiDiscrete([K + 1] * L)``, (L,) int64: module tokens 0..K-1 in order of use, closed by the
          end token K; what follows it is ignored. A module that is named again (unless ``repeats=True``), or with
          ``order="typed"`` does not find its input domain, is dropped, and counted in ``info["refused"]``.
        - ``params``: ``Box(0, 1, (P,), float32)``: the normalised parameters of all modules.
    Reward:
        float, ``L(in) - L(out) - P(out)``, Eq. 3 and 4 of POS-ISP.
    Termination:
        After the one step, always. Never truncated.
    Info:
        ``scene`` (index), ``initial_loss`` and ``action_mask``, (M,) int8: what may come first (``module_mask`` in the
        box variant); on step also ``loss``, ``penalty``, ``length`` and ``refused`` (numbers of modules).
    State:
        - the scene: its image, (3, H, W) float32 in [0, 1], observed as it is; its target, (3, H, W) float32, or
          annotations, never observed;
        - after the step the output, (3, H, W) float32, *unclamped*, where the observation is clamped;
        - the pipeline that was chosen, (L,) int64, and its parameters, (L, P) float32, not observed.

    Keyword arguments are those of :class:`isp_gym.envs.single.ISPEnv` and the fields of
    :class:`isp_gym.envs.config.EnvConfig`.

    Example:
        >>> import gymnasium as gym
        >>> import isp_gym
        >>> env = gym.make("ISP/Sequence-v0", image_size=32, num_scenes=4)
        >>> observation, info = env.reset(seed=0)
        >>> action = {"sequence": [0, 1] + [10] * 8, "params": [0.6] * 27}  # exposure, gamma, end
        >>> observation, reward, terminated, truncated, info = env.step(action)
        >>> observation.shape, terminated, info["length"]
        ((3, 32, 32), True, 2)
    """

    family_class = SequenceFamily


class SequenceVectorEnv(ISPVectorEnv):
    """``num_envs`` sub-environments of :class:`SequenceEnv` that share one batched transition."""

    family_class = SequenceFamily
