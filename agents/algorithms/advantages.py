"""Advantages of actions that each earn a reward of their own, without a critic."""

from __future__ import annotations

import torch
from torch import Tensor

BASELINES = ("none", "batch", "image")


def advantages(rewards: Tensor, baseline: str, normalize: bool = False) -> Tensor:
    """Return by how much each action's reward exceeds its baseline.

    Args:
        rewards: (N, G): the rewards of G actions sampled for each of N images.
        baseline: ``"none"``: zero; ``"batch"``: the mean reward of all other actions in the batch (leave-one-out, Kool
            et al. 2019); ``"image"``: that of the other actions on the same image, which takes the differences between
            images, most of the reward's variance, out of the signal.
        normalize: Divide each image's advantages by the standard deviation of its rewards (GRPO, Shao et al. 2024).

    Returns:
        (N, G).

    Example:
        >>> rewards = torch.tensor([[1.0, 4.0], [4.0, 7.0]])
        >>> advantages(rewards, "image").tolist()
        [[-3.0, 3.0], [-3.0, 3.0]]
        >>> advantages(rewards, "batch").tolist()
        [[-4.0, 0.0], [0.0, 4.0]]
    """
    gain = rewards if baseline == "none" else _leave_one_out(rewards, baseline)
    # Where all actions on an image earn the same there is nothing to learn, and nothing to divide by.
    return gain / (rewards.std(1, keepdim=True) + 1e-6) if normalize else gain


def _leave_one_out(rewards: Tensor, baseline: str) -> Tensor:
    pool = rewards.reshape(1, -1) if baseline == "batch" else rewards
    if pool.shape[1] == 1:  # the end of a budget may leave a single one: it has nothing to be compared with
        return torch.zeros_like(rewards)
    others = (pool.sum(1, keepdim=True) - pool) / (pool.shape[1] - 1)
    return (pool - others).reshape(rewards.shape)
