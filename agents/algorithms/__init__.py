"""Policy-gradient algorithms, independent of what they train."""

from agents.algorithms.ppo import clipped_loss, kl_estimate
from agents.algorithms.reinforce import advantages, reinforce_loss

__all__ = ["advantages", "clipped_loss", "kl_estimate", "reinforce_loss"]
