"""Views of the native actions in numpy, for learners outside of an environment."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from isp_gym.envs.setting import Setting
from isp_gym.envs.views import StepwiseBox
from isp_gym.modules import Bank


class BoxActions:
    """Stepwise actions as vectors in [-1, 1], as in ``ISP/StepwiseBox-v0``.

    Args:
        bank: The ISP modules.
    """

    def __init__(self, bank: Bank) -> None:
        self._view = StepwiseBox(bank, Setting(), bins=2)
        self.space = self._view.space

    def decode(self, actions: NDArray, action_mask: NDArray) -> dict[str, NDArray]:
        """Native actions of a batch.

        Args:
            actions: (n, K + 1 + P) in [-1, 1].
            action_mask: Tokens that may be chosen, (n, K + 1).

        Returns:
            ``{"module": (n,) int64, "params": (n, P) float32}``.
        """
        allowed = torch.from_numpy(np.asarray(action_mask, bool))
        return {key: value.numpy() for key, value in self._view.decode(actions, allowed).items()}
