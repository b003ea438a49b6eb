"""What each lane of a stepwise environment has been paid, so that its payments add up to Eq. 3."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.envs.transition import Transition
from isp_gym.modules.blocks import chunk_size


@dataclass(frozen=True)
class Payment:
    """One step of n lanes as fresh tensors: ``rewards`` and ``loss`` (n,) or (n, H, W), ``penalty`` (n,)."""

    rewards: Tensor
    loss: Tensor
    penalty: Tensor


class Ledger:
    """Pays each lane what its cost ``L + P`` fell by since the last payment.

    These payments telescope to ``L(in) - L(out) - P(out)`` (Eq. 3). The first one is made against ``L(in)`` alone,
    because Eq. 3 has no penalty on the input. Each image is scored once: its loss is kept until the image changes.

    Args:
        transition: Task, penalty and budget.
        num_lanes: n.
        dense: Pay after every step, or only at the end of an episode.
        pixels: Height and width, if payments are to be made pixel by pixel.
        device: Torch device.
    """

    def __init__(
        self, transition: Transition, num_lanes: int, dense: bool, device: str, pixels: tuple[int, ...] = ()
    ) -> None:
        self.transition = transition
        self.dense = dense
        self.pixels = pixels
        self._loss = torch.zeros(num_lanes, *pixels, device=device)  # L of the current images
        self._paid = self._loss.clone()  # the cost that rewards have been paid down to
        self._stale = torch.zeros(num_lanes, dtype=torch.bool, device=device)  # image has changed since it was scored

    def begin(self, lanes: Tensor, scenes: SceneBatch) -> None:
        """Open the accounts of new episodes in ``lanes`` (m,), one for each of ``scenes``."""
        losses = self.transition.initial_loss_map(scenes) if self.pixels else self.transition.initial_loss(scenes)
        self._loss[lanes] = losses
        self._paid[lanes] = losses
        self._stale[lanes] = False

    def require(self, changed: Tensor, ended: Tensor) -> None:
        """Raise ``BudgetExhausted`` unless the budget covers what :meth:`settle` would score; nothing is counted.

        Args:
            changed: As for :meth:`settle`.
            ended: Likewise.
        """
        self.transition.budget.require(int(self._unscored(changed, ended).sum()))

    def settle(self, images: Tensor, scenes: SceneBatch, changed: Tensor, ended: Tensor) -> Payment:
        """Score the images that need it and pay.

        Args:
            images: Images after the step, (n, 3, H, W).
            scenes: The scenes of all lanes.
            changed: Lanes whose image this step has changed, (n,) bool.
            ended: Lanes whose episode ends, (n,) bool.

        Raises:
            BudgetExhausted: The budget does not cover the scores, see :meth:`require`; nothing has changed.
        """
        due = torch.ones_like(ended) if self.dense else ended
        stale = self._stale | changed
        loss = self._score(images, scenes, self._unscored(changed, ended))
        penalty = self.transition.reward.penalty(images)
        shape = (-1, *[1] * len(self.pixels))
        cost = loss + penalty.reshape(shape)
        rewards = torch.where(due.reshape(shape), self._paid - cost, 0.0)
        self._stale = stale & ~due
        self._loss, self._paid = loss, torch.where(due.reshape(shape), cost, self._paid)
        return Payment(rewards, loss.clone(), penalty)

    def _unscored(self, changed: Tensor, ended: Tensor) -> Tensor:
        """Lanes whose image must be scored now, (n,) bool."""
        stale = self._stale | changed
        return stale if self.dense else stale & ended

    def _score(self, images: Tensor, scenes: SceneBatch, where: Tensor) -> Tensor:
        score = self.transition.loss_map if self.pixels else self.transition.loss
        part = chunk_size(images)
        if where.all() and part >= len(images):
            return score(images, scenes)
        lanes = torch.nonzero(where)[:, 0]
        if not len(lanes):
            return self._loss
        self.transition.budget.require(len(lanes))
        loss = self._loss.clone()
        for some in lanes.split(part):
            loss[some] = score(images.index_select(0, some), scenes.rows(some))
        return loss
