"""Proximal policy optimisation for a batch of sequences, each paid its own reward."""

from __future__ import annotations

from torch import Tensor


def clipped_loss(log_probs: Tensor, old_log_probs: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """The clipped surrogate of PPO (Schulman et al. 2017, Eq. 7), its sign turned; a whole sequence is one action.

    Args:
        log_probs: Log-probability of each sequence under the policy that learns, (B,).
        old_log_probs: Under the policy that drew it, (B,).
        advantage: (B,).
        clip: How far the ratio of the two may go from 1 before the gradient ends.

    Raises:
        ValueError: The shapes differ, and would broadcast.
    """
    if not log_probs.shape == old_log_probs.shape == advantage.shape:
        shapes = [tuple(t.shape) for t in (log_probs, old_log_probs, advantage)]
        raise ValueError(f"log_probs, old_log_probs and advantage must match, not {shapes}")
    advantage = advantage.detach()
    ratio = (log_probs - old_log_probs.detach()).exp()
    return -(ratio * advantage).minimum(ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


def kl_estimate(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """KL(policy || reference) from the policy's own samples, as in GRPO (Shao et al. 2024, Eq. 4): ``r - log r - 1``.

    Args:
        log_probs: Log-probability of each sampled sequence, (B,).
        reference_log_probs: Under the reference policy, (B,).

    Returns:
        The mean of the estimates, never negative.
    """
    log_ratio = reference_log_probs.detach() - log_probs
    return (log_ratio.expm1() - log_ratio).mean()
