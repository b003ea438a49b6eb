"""Stepwise environments: one action is one module with its parameters (the MDP of DRL-ISP and AdaptiveISP)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import gymnasium as gym
import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.envs.actions import ActionVariant, Native, check_box, check_integers
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.family import Family, Step, image_space
from isp_gym.envs.reward_accumulator import RewardAccumulator
from isp_gym.envs.single import ISPEnv
from isp_gym.envs.stepwise_actions import StepwiseBox, StepwiseDict, StepwiseDiscrete, StepwiseMultiDiscrete
from isp_gym.envs.vector import ISPVectorEnv
from isp_gym.pipelines import Pipelines, Rules

Policy = Callable[[dict[str, Tensor], Tensor], tuple[Tensor, Tensor]]


@torch.no_grad()
def run_policy(policy: Policy, images: Tensor, rules: Rules) -> Pipelines:
    """Let a stepwise policy build a pipeline for each image, without any reward.

    Args:
        policy: Maps the observation of :class:`StepwiseEnv` as batched tensors, and the mask of the tokens that may be
            chosen, (n, K + 1) bool, to tokens (n,) and parameters (n, P).
        images: Linear RGB inputs, (n, 3, H, W).
        rules: What a pipeline may be; as in the environment, a step that they do not allow changes nothing.

    Returns:
        The pipelines that it built, each step with the parameters that it was given; ``refused`` counts the steps that
        the rules did not allow.

    Raises:
        ValueError: The policy's tokens or parameters are none.
    """
    n, bank, device = len(images), rules.bank, images.device
    tokens = torch.full((n, rules.max_length), bank.end_token, device=device)
    params = bank.neutral.to(images).repeat(n, rules.max_length, 1)
    used = torch.zeros(n, bank.num_modules, dtype=torch.bool, device=device)
    alive = torch.ones(n, dtype=torch.bool, device=device)
    for step in range(rules.max_length):
        allowed = rules.allowed(used)
        chosen, values = policy(_observation(images, used, torch.full((n,), step, device=device)), allowed)
        asked = check_integers("module", chosen, (n,), bank.num_modules + 1, device)
        params[:, step] = check_box("params", values, (n, bank.num_params), 0.0, device)
        alive = alive & (asked != bank.end_token)
        if not alive.any():
            break
        tokens[:, step] = asked.where(alive, bank.end_token)
        applied = _admitted(tokens[:, step], allowed)
        images = bank.step(images, applied, params[:, step])
        used = used | _modules(applied, used)
    return rules.admit(tokens, params)


def _observation(images: Tensor, used: Tensor, taken: Tensor) -> dict[str, Tensor]:
    """The observation as fresh tensors."""
    return {"image": images.clamp(0, 1), "used": used.to(torch.int8), "step": taken.clone()}


def _admitted(tokens: Tensor, allowed: Tensor) -> Tensor:
    """The tokens (n,) with those that are not allowed replaced by the end token, the last, which changes no image."""
    return tokens.where(allowed.gather(1, tokens[:, None])[:, 0], allowed.shape[1] - 1)


def _modules(tokens: Tensor, used: Tensor) -> Tensor:
    """Which module each token is, (n, K) bool like ``used``; none for the end token."""
    return tokens[:, None] == torch.arange(used.shape[1], device=tokens.device)


class StepwiseFamily(Family):
    """State of the stepwise family: pipelines under construction, what they made of the images, and the rewards so far.

    Attributes:
        used: Modules used so far, (n, K) bool; with ``repeats`` they may be used again.
        taken: Actions taken so far, (n,) int64.
        tokens: Modules in order of use, (n, L) int64, padded with the end token.
        params: Normalised parameters of each step, (n, L, P) float32; neutral where there is none yet.
    """

    own_options = ("dense",)
    variants: ClassVar[dict[str, type[ActionVariant]]] = {
        "dict": StepwiseDict,
        "box": StepwiseBox,
        "multidiscrete": StepwiseMultiDiscrete,
        "discrete": StepwiseDiscrete,
    }

    def __init__(
        self, num_envs: int, config: EnvConfig, actions: str | None, bins: int, output: str, dense: bool = True
    ) -> None:
        super().__init__(num_envs, config, actions, bins, output)
        bank, device = self.transition.bank, config.device
        self.single_observation_space = gym.spaces.Dict(
            {
                "image": image_space(config.image_size),
                "used": gym.spaces.MultiBinary(bank.num_modules),
                "step": gym.spaces.Discrete(config.length + 1),
            }
        )
        self.used = torch.zeros(num_envs, bank.num_modules, dtype=torch.bool, device=device)
        self.taken = torch.zeros(num_envs, dtype=torch.int64, device=device)
        self.tokens = torch.full((num_envs, config.length), bank.end_token, device=device)
        self.params = bank.neutral.to(device).repeat(num_envs, config.length, 1)
        self.accumulator = RewardAccumulator(self.transition, num_envs, dense, device)

    @property
    def lengths(self) -> Tensor:
        """Modules so far, (n,) int64."""
        return (self.tokens != self.transition.bank.end_token).sum(1)

    def _restart(self, where: Tensor, scenes: SceneBatch) -> None:
        bank = self.transition.bank
        self.used[where] = False
        self.taken[where] = 0
        self.tokens[where] = bank.end_token
        self.params[where] = bank.neutral.to(self.params)
        self.accumulator.restart(where, scenes)

    def _advance(self, actions: Native) -> Step:
        """Apply one module in each sub-environment, or stop."""
        end, asked, params = self.transition.bank.end_token, actions["module"], actions["params"]
        tokens = _admitted(asked, self.token_mask())
        changed, terminated = tokens != end, (asked == end) | (self.taken + 1 >= self.config.length)
        self.accumulator.require(changed, terminated)
        images = self.transition.step(self.images, tokens, params)
        step = self.accumulator.add(images, self.scenes, changed, terminated)
        self._record(tokens, params, images)
        info = {"loss": step.loss, "penalty": step.penalty, "length": self.lengths, "refused": tokens != asked}
        return Step(step.rewards, terminated, info)

    def _record(self, tokens: Tensor, params: Tensor, images: Tensor) -> None:
        """Note that admitted ``tokens`` (n,) with ``params`` (n, P) made ``images``."""
        chosen = _modules(tokens, self.used)
        # Where the end token was taken, the place after the last module is written to as it is.
        places = torch.arange(self.tokens.shape[1], device=tokens.device)
        here = (self.lengths[:, None] == places) & chosen.any(1, keepdim=True)
        self.tokens = torch.where(here, tokens[:, None], self.tokens)
        self.params = torch.where(here[:, :, None], params[:, None], self.params)
        self.images, self.used, self.taken = images, self.used | chosen, self.taken + 1

    def observe(self, where: Tensor | slice = slice(None)) -> dict[str, Tensor]:
        """Return image clamped to [0, 1], used modules, step."""
        return _observation(self.images[where], self.used[where], self.taken[where])

    def token_mask(self) -> Tensor:
        """Return the modules that the rules allow next, and the stop."""
        return self.transition.rules.allowed(self.used)

    def describe(self, i: int) -> list[str]:
        """Say what the pipeline does so far, one line per module."""
        return self.transition.bank.describe(self.tokens[i], self.params[i])


class StepwiseEnv(ISPEnv):
    """A Markov decision process: one module with its parameters per step, until the stop action.

    K modules with P parameters, L = ``max_length``, images of H x W pixels.

    Observation:
        - ``image``: ``Box(0, 1, (3, H, W), float32)``: the image so far, clamped to [0, 1];
        - ``used``: ``MultiBinary(K)``, (K,) int8: the modules used so far;
        - ``step``: ``Discrete(L + 1)``, int64: the number of actions taken.
    Action:
        A dict; other variants: ``actions="box"``, ``"multidiscrete"``, ``"discrete"``.

        - ``module``: ``Discrete(K + 1)``, int64: a module token, or K to stop. A module that was used before (unless
          ``repeats=True``), or with ``order="typed"`` does not find its input domain, changes nothing, costs its step,
          and sets ``info["refused"]``; ``info["action_mask"]`` says what is left;
        - ``params``: ``Box(0, 1, (P,), float32)``: the normalised parameters; those of the chosen module are used, in
          this step only.
    Reward:
        float. ``dense=True``: how much ``L + P`` fell in this step; ``dense=False``: the same, at the end. Either way
        the return without discount is ``L(in) - L(out) - P(out)``, exactly that of :class:`SequenceEnv`.
    Termination:
        After the stop action or L actions. Never truncated.
    Info:
        ``scene`` (index), ``initial_loss``, ``action_mask``, (M,) int8 (``module_mask`` in the box variant); on step
        also ``loss``, ``penalty``, ``length`` (in modules) and ``refused`` (bool). With ``dense=False``, ``loss`` is
        that of the input until the end.
    State:
        - the image so far, (3, H, W) float32, *unclamped*: the observation clamps it, so that highlights which a later
          module could bring back look alike;
        - the modules in order of use, (L,) int64, and the parameters of each step, (L, P) float32: which modules is
          observed (``used``), their order and parameters are not;
        - the number of actions taken, int64, observed as ``step``;
        - ``L + P`` at the last reward, float32, not observed;
        - the scene with its target, (3, H, W) float32, or annotations, not observed.

        In this state the process is Markov; what is observed of it is a part.

    Keyword arguments are ``dense``, those of :class:`isp_gym.envs.single.ISPEnv` and the fields of
    :class:`isp_gym.envs.config.EnvConfig`.

    Example:
        >>> import gymnasium as gym
        >>> import isp_gym
        >>> env = gym.make("ISP/Stepwise-v0", image_size=32, num_scenes=4)
        >>> observation, info = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step({"module": 0, "params": [0.6] * 27})
        >>> int(observation["step"]), terminated, info["length"], bool(info["refused"])
        (1, False, 1, False)
        >>> env.step({"module": 10, "params": [0.0] * 27})[2]  # the stop action ends the episode
        True
    """

    family_class = StepwiseFamily


class StepwiseVectorEnv(ISPVectorEnv):
    """``num_envs`` sub-environments of :class:`StepwiseEnv` that share one batched transition."""

    family_class = StepwiseFamily
