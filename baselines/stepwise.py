"""Stepwise baselines with Stable-Baselines3, trained on the batched environment."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import MultiInputActorCriticPolicy
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor, nn

from isp_gym.adapters import to_sb3_vecenv
from isp_gym.benchmark import Agent, Training
from isp_gym.config import refuse_contradictions
from isp_gym.envs.config import EnvConfig
from isp_gym.envs.family import image_space
from isp_gym.envs.stepwise import run_policy
from isp_gym.errors import UserError, unknown
from isp_gym.pipelines import Pipelines, Rules
from isp_gym.tuning import Choice, Float, Int, Parameter

_MIN_IMAGE_SIZE = 36  # the smallest that three convolutions without padding leave something of
_PPO_OPTIONS = (
    *("learning_rate", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "clip_range", "clip_range_vf"),
    *("normalize_advantage", "ent_coef", "vf_coef", "max_grad_norm", "use_sde", "sde_sample_freq", "target_kl"),
)
# The return is a plain sum (Eq. 3), so it is not discounted.
_DEFAULTS: dict[str, Any] = {
    "num_envs": 16,
    "dense": True,
    "n_steps": 40,
    "batch_size": 64,
    "gamma": 1.0,
    "learning_rate": 1e-3,
}
# Images are floats in [0, 1] already. Actions start near the middle of their ranges, not at both ends.
_POLICY = {"net_arch": {"pi": [64, 64], "vf": [64, 64]}, "normalize_images": False, "log_std_init": -1.0}
# CleanRL's keys of what Stable-Baselines3 logs, and a factor: its entropy loss is minus the entropy.
_LOGGED = {
    "losses/policy_loss": ("train/policy_gradient_loss", 1),
    "losses/value_loss": ("train/value_loss", 1),
    "losses/entropy": ("train/entropy_loss", -1),
    "losses/approx_kl": ("train/approx_kl", 1),
    "losses/clipfrac": ("train/clip_fraction", 1),
    "losses/explained_variance": ("train/explained_variance", 1),
}


class StepwisePPO(Agent):
    """Learn with PPO (Schulman et al. 2017) to choose one module with its parameters at a time.

    A training that was interrupted goes on with the same policy, optimiser, reward scale and random numbers, but begins
    new episodes on other scenes: it is not the same to the bit (``exact_resume`` is false).

    Args:
        **options: ``num_envs``, sub-environments of the vector environment (16); ``dense``, whether the reward comes
            after every step, one task evaluation each, or at the end; hyper-parameters of ``stable_baselines3.PPO``;
            and ``policy_kwargs`` of its policy, such as ``{"net_arch": [64]}``. A saved policy brings its own along;
            what is given here must not contradict them.

    Raises:
        UserError: There is no such option.

    Example:
        >>> agent = StepwisePPO(num_envs=8, learning_rate=3e-4)
        >>> agent.options["num_envs"], agent.options["clip_range"]
        (8, 0.2)
        >>> StepwisePPO(clip=0.1)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        isp_gym.errors.UserError: unknown stepwise-ppo option 'clip' (known: batch_size, ...)
    """

    search_space: ClassVar[Mapping[str, Parameter]] = {
        "learning_rate": Float(1e-4, 1e-2, log=True, default=_DEFAULTS["learning_rate"]),
        "n_steps": Choice((8, 16, 40, 80), default=_DEFAULTS["n_steps"]),
        "batch_size": Choice((32, 64, 128), default=_DEFAULTS["batch_size"]),
        "n_epochs": Int(2, 20, log=True, default=10),
        "ent_coef": Choice((0.0, 1e-3, 1e-2), default=0.0),
        "clip_range": Float(0.1, 0.4, default=0.2),
        "gae_lambda": Choice((0.8, 0.9, 0.95, 1.0), default=0.95),
        "dense": Choice((True, False), default=_DEFAULTS["dense"]),
    }
    quick_options: ClassVar[Mapping[str, Any]] = {"num_envs": 2, "n_steps": 4, "batch_size": 8, "n_epochs": 1}

    def __init__(self, **options: Any) -> None:
        defaults = inspect.signature(PPO).parameters
        known = {**{key: defaults[key].default for key in _PPO_OPTIONS}, **_DEFAULTS, "policy_kwargs": _POLICY}
        for key in options:
            if key not in known:
                raise unknown("stepwise-ppo option", key, known)
        policy_kwargs = {**_POLICY, **options.get("policy_kwargs", {})}
        self.options: dict[str, Any] = {**known, **options, "policy_kwargs": policy_kwargs}
        self._given = frozenset(options)
        self.rules: Rules
        self.image_size: int
        self._networks: nn.ModuleDict

    @property
    def networks(self) -> nn.ModuleDict:
        """Return feature extractor and actor; the critic is not needed at inference."""
        return self._networks

    def check(self, setting: EnvConfig) -> None:
        """Raise ``UserError`` if the images are too small for Stable-Baselines3's CNN."""
        if setting.image_size < _MIN_IMAGE_SIZE:
            raise UserError(f"stepwise-ppo needs image_size={_MIN_IMAGE_SIZE} or more, not {setting.image_size}")

    def train(self, training: Training) -> None:
        """Learn until the budget is spent.

        Raises:
            UserError: The images are too small for Stable-Baselines3's CNN.
            BudgetExhausted: Steps that cost no evaluation have taken all that are allowed.
        """
        setting, options = training.setting, dict(self.options)
        self.check(setting)
        self.rules, self.image_size = training.rules, setting.image_size
        vector = training.make_vec("ISP/StepwiseBox-v0", options.pop("num_envs"), dense=options.pop("dense"))
        # The penalty for dark images is a thousand times the loss: unscaled, the critic sees nothing else.
        env = VecNormalize(to_sb3_vecenv(vector), norm_obs=False, gamma=1.0, clip_reward=5.0)
        model = PPO("MultiInputPolicy", env, seed=training.seed, device=setting.device, **options)
        self._networks = _actor(model.policy)
        learner = PPOTraining(model, training)
        # Stopping costs no evaluation, so steps do not bound them: the budget itself ends the training.
        resumed = training.resume(learner)
        model.learn(2**62, callback=_Checkpoints(self, learner), reset_num_timesteps=not resumed)

    def pipelines(self, images: Tensor) -> Pipelines:
        """Act greedily.

        Raises:
            UserError: The images have another size than those of the training.
        """
        side = self.image_size
        if images.shape[-2:] != (side, side):
            raise UserError(f"stepwise-ppo was trained on images of {side}x{side}, and its network takes no others")
        return run_policy(self._act, images, self.rules)

    def _act(self, observation: dict[str, Tensor], allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean action as the ``box`` action-space variant decodes it: (n,) tokens and (n, P) parameters."""
        device, bank = next(self.networks.parameters()).device, self.rules.bank
        observation = {key: value.to(device) for key, value in observation.items()}
        space, floats = _spaces(self.rules, self.image_size)[0], self.options["policy_kwargs"]["normalize_images"]
        features = self.networks["features"](preprocess_obs(observation, space, floats))
        mean = self.networks["action"](self.networks["actor"](features)).clamp(-1, 1)
        logits, params = mean.split([bank.num_modules + 1, bank.num_params], dim=1)
        return logits.masked_fill(~allowed.to(device), -torch.inf).argmax(1), (params + 1) / 2

    def state(self) -> dict[str, Any]:
        """Return the actor, and all that is needed to build it again."""
        metadata = {**self.rules.to_dict(), "image_size": self.image_size, "options": self.options}
        return {**self.networks.state_dict(), **metadata}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Build the actor of which :meth:`state` was taken, without environment, data or device.

        Raises:
            UserError: An option that was given to this agent contradicts the saved ones.
        """
        saved = {key: state["options"][key] for key in self.options}
        refuse_contradictions(saved, {key: self.options[key] for key in self._given}, "stepwise-ppo")
        self.options, self.rules, self.image_size = saved, Rules.from_dict(state), int(state["image_size"])
        spaces, kwargs = _spaces(self.rules, self.image_size), saved["policy_kwargs"]
        policy = MultiInputActorCriticPolicy(*spaces, lambda _: 0.0, use_sde=saved["use_sde"], **kwargs)
        self._networks = _actor(policy)
        self._networks.load_state_dict({key: value for key, value in state.items() if isinstance(value, Tensor)})


class PPOTraining:
    """The state of a training with PPO that a checkpoint keeps.

    Args:
        model: Of Stable-Baselines3, on a ``VecNormalize``.
        training: Where it learns.
    """

    def __init__(self, model: PPO, training: Training) -> None:
        self.model, self.training = model, training

    def state_dict(self) -> dict[str, Any]:
        """Return policy, optimiser, reward scale and steps taken."""
        scale = self._reward_scale
        return {
            "policy": self.model.policy.state_dict(),
            "optimizer": self.model.policy.optimizer.state_dict(),
            "reward_scale": [float(scale.mean), float(scale.var), float(scale.count)],
            "num_timesteps": self.model.num_timesteps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` has returned, in new episodes on other scenes than at the start."""
        self.model.policy.load_state_dict(state["policy"])
        self.model.policy.optimizer.load_state_dict(state["optimizer"])
        scale = self._reward_scale
        scale.mean, scale.var, scale.count = (np.float64(number) for number in state["reward_scale"])
        self.model.num_timesteps = state["num_timesteps"]
        seed = np.random.SeedSequence([self.training.seed, state["num_timesteps"]]).generate_state(1)[0]
        self._env.seed(int(seed))

    @property
    def _env(self) -> VecNormalize:
        assert isinstance(self.model.env, VecNormalize)
        return self.model.env

    @property
    def _reward_scale(self) -> Any:
        return self._env.ret_rms


class _Checkpoints(BaseCallback):
    def __init__(self, agent: StepwisePPO, learner: PPOTraining) -> None:
        super().__init__()
        self.agent, self.learner, self.training = agent, learner, learner.training

    def _on_step(self) -> bool:
        # Stop before the step that the budget no longer covers in full.
        return self.training.remaining >= self.agent.options["num_envs"]

    def _on_rollout_start(self) -> None:
        # Only now has the policy learned from the rollout before.
        if self.num_timesteps:
            known = self.logger.name_to_value
            numbers = {key: factor * float(known[name]) for key, (name, factor) in _LOGGED.items() if name in known}
            self.training.log(**numbers)
            self.training.checkpoint(self.agent, self.learner)


def _actor(policy: MultiInputActorCriticPolicy | Any) -> nn.ModuleDict:
    """The part of an actor-critic policy that chooses actions."""
    actor = policy.mlp_extractor.policy_net
    return nn.ModuleDict({"features": policy.pi_features_extractor, "actor": actor, "action": policy.action_net})


def _spaces(rules: Rules, image_size: int) -> tuple[gym.spaces.Dict, gym.spaces.Box]:
    """Observations and actions of ``ISP/StepwiseBox-v0``."""
    bank = rules.bank
    observed = {
        "image": image_space(image_size),
        "used": gym.spaces.MultiBinary(bank.num_modules),
        "step": gym.spaces.Discrete(rules.max_length + 1),
    }
    size = bank.num_modules + 1 + bank.num_params
    return gym.spaces.Dict(observed), gym.spaces.Box(-1.0, 1.0, (size,), np.float32)
