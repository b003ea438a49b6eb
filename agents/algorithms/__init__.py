"""Policy-gradient algorithms, independent of what they train."""

from agents.algorithms.reinforce import advantages, reinforce_loss

__all__ = ["advantages", "reinforce_loss"]
