"""What each sub-environment has earned so far, so that the rewards of its steps add up to Eq. 3."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.envs.transition import Transition
from isp_gym.modules.blocks import chunk_size


@dataclass(frozen=True)
class RewardStep:
    """The rewards of one step as fresh tensors: ``rewards`` and ``loss`` (n,) or (n, H, W), ``penalty`` (n,)."""

    rewards: Tensor
    loss: Tensor
    penalty: Tensor


class RewardAccumulator:
    """Rewards each sub-environment with what its cost ``L + P`` fell by since its last reward.

    These rewards telescope to ``L(in) - L(out) - P(out)`` (Eq. 3). The first one is made against ``L(in)`` alone,
    because Eq. 3 has no penalty on the input. Each image is scored once: its loss is kept until the image changes.

    Args:
        transition: Task, penalty and budget.
        num_envs: n.
        dense: Reward every step, or only the last of an episode.
        pixels: Height and width, if rewards are to be made pixel by pixel.
        device: Torch device.
    """

    def __init__(
        self, transition: Transition, num_envs: int, dense: bool, device: str, pixels: tuple[int, ...] = ()
    ) -> None:
        self.transition = transition
        self.dense = dense
        self.pixels = pixels
        self._loss = torch.zeros(num_envs, *pixels, device=device)  # L of the current images
        self._cost = self._loss.clone()  # the cost at the last reward
        self._stale = torch.zeros(num_envs, dtype=torch.bool, device=device)  # image has changed since it was scored

    def restart(self, where: Tensor, scenes: SceneBatch) -> None:
        """Begin new episodes in the sub-environments ``where`` (m,), one for each of ``scenes``."""
        losses = self.transition.initial_loss_map(scenes) if self.pixels else self.transition.initial_loss(scenes)
        self._loss[where] = losses
        self._cost[where] = losses
        self._stale[where] = False

    def require(self, changed: Tensor, ended: Tensor) -> None:
        """Raise ``BudgetExhausted`` unless the budget covers what :meth:`add` would score; count nothing.

        Args:
            changed: As for :meth:`add`.
            ended: Likewise.
        """
        self.transition.budget.require(int(self._unscored(changed, ended).sum()))

    def add(self, images: Tensor, scenes: SceneBatch, changed: Tensor, ended: Tensor) -> RewardStep:
        """Score the images that need it, and reward the step.

        Args:
            images: Images after the step, (n, 3, H, W).
            scenes: The scenes of all sub-environments.
            changed: Those whose image this step has changed, (n,) bool.
            ended: Those whose episode ends, (n,) bool.

        Raises:
            BudgetExhausted: The budget does not cover the scores, see :meth:`require`; nothing has changed.
        """
        due = torch.ones_like(ended) if self.dense else ended
        stale = self._stale | changed
        loss = self._score(images, scenes, self._unscored(changed, ended))
        penalty = self.transition.reward.penalty(images)
        shape = (-1, *[1] * len(self.pixels))
        cost = loss + penalty.reshape(shape)
        rewards = torch.where(due.reshape(shape), self._cost - cost, 0.0)
        self._stale = stale & ~due
        self._loss, self._cost = loss, torch.where(due.reshape(shape), cost, self._cost)
        return RewardStep(rewards, loss.clone(), penalty)

    def _unscored(self, changed: Tensor, ended: Tensor) -> Tensor:
        """Those whose image must be scored now, (n,) bool."""
        stale = self._stale | changed
        return stale if self.dense else stale & ended

    def _score(self, images: Tensor, scenes: SceneBatch, where: Tensor) -> Tensor:
        score = self.transition.loss_map if self.pixels else self.transition.loss
        size = chunk_size(images)
        if where.all() and size >= len(images):
            return score(images, scenes)
        rows = torch.nonzero(where)[:, 0]
        if not len(rows):
            return self._loss
        self.transition.budget.require(len(rows))
        loss = self._loss.clone()
        for some in rows.split(size):
            loss[some] = score(images.index_select(0, some), scenes.rows(some))
        return loss
