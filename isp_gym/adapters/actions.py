"""Views of the native actions for learners that know only flat boxes."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from isp_gym.modules import Bank


class BoxActions:
    """Stepwise actions as vectors in [-1, 1]: K + 1 preferences, then P parameters.

    The module is the unused one (or the stop) with the highest preference; parameter p is ``(a + 1) / 2``.

    Args:
        bank: The ISP modules.
    """

    def __init__(self, bank: Bank) -> None:
        self.num_tokens = bank.num_modules + 1
        self.space = Box(-1.0, 1.0, (self.num_tokens + bank.num_params,), np.float32)

    def decode(self, actions: NDArray, action_mask: NDArray) -> dict[str, NDArray]:
        """Native actions of a batch.

        Args:
            actions: (n, K + 1 + P) in [-1, 1].
            action_mask: Tokens that may be chosen, (n, K + 1).

        Returns:
            ``{"module": (n,) int64, "params": (n, P) float32}``.
        """
        preferences = np.where(action_mask, actions[:, : self.num_tokens], -np.inf)
        params = np.clip((actions[:, self.num_tokens :] + 1) / 2, 0, 1)
        return {"module": preferences.argmax(1), "params": params.astype(np.float32)}
