"""Policy-gradient algorithms, independent of what an action is: a sequence, a module or the curves of an image."""

from agents.algorithms.advantages import BASELINES, advantages
from agents.algorithms.losses import clipped_loss, kl_estimate, reinforce_loss

__all__ = ["BASELINES", "advantages", "clipped_loss", "kl_estimate", "reinforce_loss"]
