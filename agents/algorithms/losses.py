"""Policy-gradient losses of actions that each have an advantage of their own.

Tensors have one entry per action and all the same shape: (B,) for one action per image, (B, H, W) for one per pixel.
"""

from __future__ import annotations

from torch import Tensor


def reinforce_loss(log_probs: Tensor, advantage: Tensor) -> Tensor:
    """Return the surrogate whose gradient is that of minus the expected reward (REINFORCE, Williams 1992).

    Args:
        log_probs: Log-probability of each action.
        advantage: Of each action; no gradient flows into it.

    Returns:
        A scalar, the mean over all actions.

    Raises:
        ValueError: The shapes differ: (B,) times (B, 1) would broadcast and credit every action with the batch mean.

    Example:
        >>> import torch
        >>> log_probs = torch.tensor([-1.0, -2.0], requires_grad=True)
        >>> reinforce_loss(log_probs, torch.tensor([1.0, -1.0])).backward()
        >>> log_probs.grad.tolist()
        [-0.5, 0.5]
    """
    _check_shapes(log_probs=log_probs, advantage=advantage)
    return -(log_probs * advantage.detach()).mean()


def clipped_loss(log_probs: Tensor, old_log_probs: Tensor, advantage: Tensor, clip_range: float) -> Tensor:
    """Return the negated clipped surrogate of PPO (Schulman et al. 2017, Eq. 7), which GRPO takes over.

    Args:
        log_probs: Log-probability of each action under the policy that learns.
        old_log_probs: Under the policy that it was sampled from; no gradient flows into it.
        advantage: Of each action; no gradient flows into it.
        clip_range: How far the ratio of the two probabilities may go from 1 before the gradient ends.

    Returns:
        A scalar, the mean over all actions.

    Raises:
        ValueError: The shapes differ, and would broadcast.

    Example:
        >>> import torch
        >>> old, advantage = torch.zeros(2), torch.tensor([1.0, 1.0])
        >>> log_probs = torch.tensor([0.1, 0.5], requires_grad=True)  # ratios 1.11 and 1.65
        >>> clipped_loss(log_probs, old, advantage, clip_range=0.2).backward()
        >>> (log_probs.grad != 0).tolist()
        [True, False]
    """
    _check_shapes(log_probs=log_probs, old_log_probs=old_log_probs, advantage=advantage)
    advantage = advantage.detach()
    ratio = (log_probs - old_log_probs.detach()).exp()
    return -(ratio * advantage).minimum(ratio.clamp(1 - clip_range, 1 + clip_range) * advantage).mean()


def kl_estimate(log_probs: Tensor, other_log_probs: Tensor) -> Tensor:
    """Estimate KL(policy || other) from actions of the policy, by ``r - log r - 1`` (GRPO, Shao et al. 2024, Eq. 4).

    Args:
        log_probs: Log-probability of each action under the policy that it was sampled from.
        other_log_probs: Under the other policy, such as a reference; no gradient flows into it.

    Returns:
        A scalar, the mean over all actions, never negative.

    Example:
        >>> import torch
        >>> log_probs = torch.tensor([0.5, 0.5]).log()
        >>> kl_estimate(log_probs, log_probs).item()
        0.0
        >>> round(kl_estimate(log_probs, torch.tensor([0.25, 0.75]).log()).item(), 4)
        0.1438
    """
    log_ratio = other_log_probs.detach() - log_probs
    return (log_ratio.expm1() - log_ratio).mean()


def _check_shapes(**tensors: Tensor) -> None:
    if len({tensor.shape for tensor in tensors.values()}) > 1:
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
        raise ValueError(f"shapes must match: {shapes}")
