"""Stepwise baselines with Stable-Baselines3, trained on the batched environment."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor, nn

from isp_gym.adapters import to_sb3_vecenv
from isp_gym.benchmark import Training
from isp_gym.envs.setting import Setting
from isp_gym.envs.stepwise import run_policy
from isp_gym.envs.views import StepwiseBox
from isp_gym.errors import UserError

_MODEL, _SETTING = "stepwise_ppo.zip", "setting.json"
_NATURE_CNN_SIZE = 36  # the smallest image that three convolutions without padding leave something of


class StepwisePPO:
    """PPO (Schulman et al. 2017) choosing one module with its parameters at a time.

    Args:
        num_envs: Lanes of the vector environment.
        dense: Pay after every step (one task evaluation each) or only at the end.
        **ppo: Further arguments of ``stable_baselines3.PPO``.
    """

    def __init__(self, num_envs: int = 16, dense: bool = True, **ppo: Any) -> None:
        self.num_envs = num_envs
        self.dense = dense
        # The return is a plain sum (Eq. 3), so it is not discounted.
        self.options = {"n_steps": 40, "batch_size": 64, "gamma": 1.0, "learning_rate": 1e-3, **ppo}
        self.model: PPO

    def train(self, training: Training) -> None:
        """Learn until the budget is spent.

        Raises:
            UserError: The images are too small for Stable-Baselines3's CNN.
        """
        if training.setting.image_size < _NATURE_CNN_SIZE:
            raise UserError(
                f"stepwise-ppo needs image_size={_NATURE_CNN_SIZE} or more, not {training.setting.image_size}"
            )
        lanes = training.make_vec("ISP/StepwiseBox-v0", self.num_envs, dense=self.dense)
        self._see(training.setting)
        # The penalty for dark images is a thousand times the loss: unscaled, the critic sees nothing else.
        env = VecNormalize(to_sb3_vecenv(lanes), norm_obs=False, gamma=1.0, clip_reward=5.0)
        self.model = PPO(
            "MultiInputPolicy",
            env,
            seed=training.seed,
            device=training.setting.device,
            # Images are floats in [0, 1] already. Actions start near the middle of their ranges, not at both ends.
            policy_kwargs={"normalize_images": False, "log_std_init": -1.0},
            **self.options,
        )
        # Stopping costs no evaluation, so steps do not bound them: the budget itself ends the training.
        self.model.learn(total_timesteps=2**62, callback=_Checkpoints(self, training))

    def save(self, folder: Path) -> None:
        """Write the model and the setting it was trained in to ``folder``."""
        self.model.save(folder / _MODEL)
        (folder / _SETTING).write_text(json.dumps(asdict(self.setting), indent=1))

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: A file is missing or damaged.
        """
        try:
            self._see(Setting.of(json.loads((folder / _SETTING).read_text())))
            self.model = PPO.load(folder / _MODEL, device=self.setting.device)
        except Exception as error:
            raise UserError(f"'{folder}' holds no trained stepwise-ppo: {str(error).splitlines()[0]}") from error

    def _see(self, setting: Setting) -> None:
        self.setting, self.bank, self.max_length = setting, setting.make_bank(), setting.length
        self.view = StepwiseBox(self.bank, setting, bins=2)  # it has none

    @property
    def networks(self) -> nn.Module:
        """Feature extractor, actor and critic."""
        return self.model.policy

    def pipelines(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Act greedily: (B, L) tokens and (B, P) parameters.

        Raises:
            UserError: The images have another size than those of the training.
        """
        side = self.setting.image_size
        if images.shape[-2:] != (side, side):
            raise UserError(f"stepwise-ppo was trained on images of {side}x{side}, and its network takes no others")
        return run_policy(self._act, images, self.bank, self.max_length)

    def _act(self, observation: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        arrays = {key: value.cpu().numpy() for key, value in observation.items()}
        actions, _ = self.model.predict(arrays, deterministic=True)
        allowed = torch.cat([observation["used"] == 0, torch.ones(len(actions), 1, dtype=torch.bool)], 1)
        native = self.view.decode(actions, allowed)
        return native["module"], native["params"]


class _Checkpoints(BaseCallback):
    def __init__(self, agent: StepwisePPO, training: Training) -> None:
        super().__init__()
        self.agent, self.training = agent, training

    def _on_step(self) -> bool:
        # Stop before the step that the budget no longer covers in full.
        return self.training.remaining >= self.agent.num_envs

    def _on_rollout_end(self) -> None:
        self.training.checkpoint(self.agent)
