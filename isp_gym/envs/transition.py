"""The one transition that all environments and gradient learners share."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isp_gym.budget import Budget
from isp_gym.data import SceneBatch, SceneSet
from isp_gym.modules.blocks import chunk_size
from isp_gym.modules.curves import apply_curves
from isp_gym.pipelines import Pipelines, Rules
from isp_gym.rewards import TerminalReward
from isp_gym.tasks import MeteredTask, Task


@dataclass(frozen=True)
class Outcome:
    """The outcome of a batch of pipelines: ``images`` is (B, 3, H, W), the rest (B,). ``reward`` is Eq. 3."""

    images: Tensor
    loss: Tensor
    penalty: Tensor
    reward: Tensor


class Transition:
    """Applies pipelines to scenes and rewards them: bank -> task -> reward, batched and differentiable.

    Args:
        scenes: The scenes that may be used.
        rules: What a pipeline may be, with the bank that applies it.
        task: Says what an image is worth.
        reward: The penalty's bounds and weights.
        budget: Counts the task evaluations.
    """

    def __init__(
        self, scenes: SceneSet, rules: Rules, task: Task, reward: TerminalReward, budget: Budget | None = None
    ) -> None:
        self.scenes = scenes
        self.rules = rules
        self.bank = rules.bank
        self._task = MeteredTask(task, budget or Budget())
        self.reward = reward
        self._initial_losses = torch.full((len(scenes),), torch.nan)

    @property
    def task(self) -> MeteredTask:
        """Return the task; what it scores is counted in :attr:`budget`."""
        return self._task

    @property
    def budget(self) -> Budget:
        """Return what counts here what is spent; replace it to share one between environments."""
        return self._task.budget

    @budget.setter
    def budget(self, budget: Budget) -> None:
        self._task.budget = budget

    @torch.no_grad()
    def initial_loss(self, scenes: SceneBatch) -> Tensor:
        """Return L(in) of each scene, (B,): computed once per scene of the own images, outside the budget."""
        indices = list(scenes.indices)
        losses = self._initial_losses[indices]
        if losses.isnan().any():
            unknown = sorted({i for i, loss in zip(indices, losses.tolist(), strict=True) if loss != loss})
            # One by one: to the last bit a loss may depend on the batch that it is computed in.
            for i in unknown:
                one = self.scenes.batch([i])
                self._initial_losses[i] = self.task.unmetered.loss(one.images, one).cpu()[0]
            losses = self._initial_losses[indices]
        return losses.to(scenes.images.device)

    def loss(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Return L(out) of each image, (B,), counted in the budget.

        Raises:
            BudgetExhausted: The budget does not cover the batch.
        """
        return self.task.loss(images, scenes)

    @torch.no_grad()
    def initial_loss_map(self, scenes: SceneBatch) -> Tensor:
        """Return L(in) pixel by pixel, (B, H, W), of the transition's own images, outside the budget.

        Raises:
            UserError: The task has no map, see :meth:`isp_gym.tasks.Task.loss_map`.
        """
        own = self.scenes.batch(scenes.indices)
        losses = self.task.unmetered.loss_map(own.images, own)
        self._initial_losses[list(scenes.indices)] = losses.mean(dim=(1, 2)).cpu()
        return losses

    def loss_map(self, images: Tensor, scenes: SceneBatch) -> Tensor:
        """Return L(out) pixel by pixel, (B, H, W), whose mean is :meth:`loss`; counted in the budget.

        Raises:
            BudgetExhausted: The budget does not cover the batch.
            UserError: The task has no map, see :meth:`isp_gym.tasks.Task.loss_map`.
        """
        return self.task.loss_map(images, scenes)

    def play(self, scenes: SceneBatch, pipelines: Pipelines | Tensor, params: Tensor | None = None) -> Outcome:
        """Run whole pipelines for the terminal reward.

        Args:
            scenes: B scenes.
            pipelines: One for each; or module tokens, (B, L) int64, of which the steps that the rules do not allow are
                dropped (:meth:`isp_gym.pipelines.Rules.admit`).
            params: Normalised parameters of the tokens, (B, P) or (B, L, P); gradients flow into them.

        Returns:
            The outcome of each scene.

        Raises:
            BudgetExhausted: The budget does not cover the batch; nothing is computed or counted.
            ValueError: The tokens or parameters can make no pipelines.

        Example:
            >>> import torch
            >>> from isp_gym.envs.config import EnvConfig
            >>> transition = EnvConfig(image_size=32, num_scenes=4).make_transition()
            >>> scenes = transition.scenes.batch([0, 1])
            >>> tokens = torch.tensor([[0, 1], [9, 10]])  # exposure, gamma; white balance, end
            >>> params = torch.full((2, 27), 0.6, requires_grad=True)
            >>> outcome = transition.play(scenes, tokens, params)
            >>> outcome.images.shape, outcome.reward.shape
            (torch.Size([2, 3, 32, 32]), torch.Size([2]))
            >>> outcome.reward.sum().backward()  # gradients flow through the pipeline
            >>> params.grad.shape
            torch.Size([2, 27])
        """
        if not isinstance(pipelines, Pipelines):
            if params is None:
                raise TypeError("play takes pipelines, or tokens and their params")
            pipelines = self.rules.admit(pipelines, params)
        self.budget.require(len(pipelines))  # before the work, and before the megapixels are counted
        images = pipelines(scenes.images)
        self._count(int(pipelines.lengths.sum()), images)
        loss, penalty = self.loss(images, scenes), self.reward.penalty(images)
        return Outcome(images, loss, penalty, self.initial_loss(scenes) - loss - penalty)

    def step(self, images: Tensor, tokens: Tensor, params: Tensor) -> Tensor:
        """Apply one module to each image, (B,) tokens; the end token leaves its image as it is."""
        self._count(int((tokens != self.bank.end_token).sum()), images)
        return self.bank.step(images, tokens, params)

    def curve(self, images: Tensor, curves: Tensor) -> Tensor:
        """Apply one tone curve per pixel, see :func:`isp_gym.modules.curves.apply_curves`; count one module per image.

        Example:
            >>> import torch
            >>> from isp_gym.envs.config import EnvConfig
            >>> transition = EnvConfig(image_size=32, num_scenes=4).make_transition()
            >>> images = transition.scenes.batch([0]).images
            >>> identity = torch.zeros(1, 3, 32, 32)  # gamma 1, gain 1, offset 0
            >>> torch.allclose(transition.curve(images, identity), images, atol=1e-6)
            True
        """
        self._count(len(images), images)
        size = chunk_size(images)
        pairs = zip(images.split(size), curves.split(size), strict=True)
        return torch.cat([apply_curves(some, theirs) for some, theirs in pairs])

    def _count(self, applied: int, images: Tensor) -> None:
        self.budget.add_megapixels(applied * images.shape[-1] * images.shape[-2] / 1e6)
