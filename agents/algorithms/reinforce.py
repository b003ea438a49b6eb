"""REINFORCE for a batch of sequences, each paid its own reward."""

from __future__ import annotations

import torch
from torch import Tensor

BASELINES = ("none", "batch", "image")


def advantages(rewards: Tensor, baseline: str, normalise: bool = False) -> Tensor:
    """What each sequence earned more than was to be expected.

    Args:
        rewards: (N, G): G sequences tried on each of N images.
        baseline: ``"none"``: the reward itself; ``"batch"``: less the mean of all the others in the batch
            (leave-one-out, Kool et al. 2019); ``"image"``: less the mean of the others on the same image, which takes
            the differences between images, most of the reward's variance, out of the signal.
        normalise: Divide each image's advantages by the standard deviation of its rewards, (Shao et al. 2024, GRPO).

    Returns:
        (N, G).
    """
    gain = rewards if baseline == "none" else _leave_one_out(rewards, baseline)
    # Where all sequences on an image earn the same there is nothing to learn, and nothing to divide by.
    return gain / (rewards.std(1, keepdim=True) + 1e-6) if normalise else gain


def _leave_one_out(rewards: Tensor, baseline: str) -> Tensor:
    pool = rewards.reshape(1, -1) if baseline == "batch" else rewards
    if pool.shape[1] == 1:  # the end of a budget may leave a single one: it has nothing to be compared with
        return torch.zeros_like(rewards)
    others = (pool.sum(1, keepdim=True) - pool) / (pool.shape[1] - 1)
    return (pool - others).reshape(rewards.shape)


def reinforce_loss(log_probs: Tensor, advantage: Tensor) -> Tensor:
    """Surrogate whose gradient is that of minus the expected reward (Williams 1992); both arguments (B,).

    Raises:
        ValueError: The shapes differ. (B,) times (B, 1) would broadcast and pay every sequence the batch mean.
    """
    if log_probs.shape != advantage.shape:
        raise ValueError(f"log_probs {tuple(log_probs.shape)} and advantage {tuple(advantage.shape)} must match")
    return -(log_probs * advantage.detach()).mean()
