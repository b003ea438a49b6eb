"""How POS-ISP learns: policy gradients for the sequence, backpropagation through the pipeline for the parameters."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from agents.algorithms import advantages, clipped_loss, kl_estimate, reinforce_loss
from agents.sequence.policy import Sampled, SequencePolicy
from agents.sequence.predictor import squash
from agents.sequence.settings import LearnerSettings
from isp_gym.benchmark import Training

if TYPE_CHECKING:
    from agents.sequence.posisp import POSISP


def learn(agent: POSISP, training: Training, settings: LearnerSettings) -> None:
    """Train ``agent``'s networks until the budget is spent.

    Args:
        agent: Its ``policy`` and ``predictor`` are trained in place.
        training: The scenes, the transition and the budget.
        settings: Batch, step sizes and schedule.
    """
    sequence_learner = SequenceLearner(agent.policy, settings)
    params_optimizer = torch.optim.Adam(agent.predictor.parameters(), settings.params_lr, betas=(0.9, 0.99))
    group = settings.sequences_per_image
    iterations = training.remaining // settings.batch_size
    scene_stream = training.scene_stream(settings.batch_size // group)
    for iteration in range(iterations):
        progress = iteration / iterations
        train_sequence, train_params = settings.trains(iteration)
        batch = training.scenes.batch(next(scene_stream).repeat_interleave(group))
        sampled = sequence_learner.draw(progress)
        with torch.set_grad_enabled(train_params):
            scores = agent.predictor.scores(batch.images[::group], sampled.sequences)
            repeats = settings.batch_size // len(scores)  # a conditioned predictor tells sequences on an image apart
            params = squash(scores).repeat_interleave(repeats, dim=0)
            outcome = training.transition.play(batch, sampled.sequences, params)
        if train_params:
            loss = (outcome.loss + outcome.penalty).mean() + settings.score_penalty * scores.square().mean()
            params_optimizer.param_groups[0]["lr"] = settings.params_lr * settings.step_size(progress)
            _descend(loss, params_optimizer, settings.max_grad_norm)
        if train_sequence:
            sequence_learner.update(sampled, outcome.reward.detach().reshape(-1, group), progress)
        training.checkpoint(agent)


class SequenceLearner:
    """REINFORCE, PPO or GRPO for any sequence policy.

    Args:
        policy: Trained in place.
        settings: Which algorithm, and its numbers.
    """

    def __init__(self, policy: SequencePolicy, settings: LearnerSettings) -> None:
        self.policy, self.settings = policy, settings
        self.optimizer = torch.optim.Adam(policy.parameters(), settings.sequence_lr, betas=(0.9, 0.99))
        self.reference = copy.deepcopy(policy).requires_grad_(False)
        self.updates = 0

    def draw(self, progress: float) -> Sampled:
        """A batch of sequences, after a part ``progress`` of the training."""
        return self.policy.sample(self.settings.batch_size, self.settings.temperature(progress))

    def update(self, sampled: Sampled, rewards: Tensor, progress: float) -> None:
        """Learn from what the sequences earned.

        Args:
            sampled: From :meth:`draw`.
            rewards: (N, G): G sequences in turn on each of N images.
            progress: As in :meth:`draw`.
        """
        settings = self.settings
        self.optimizer.param_groups[0]["lr"] = settings.sequence_lr * settings.step_size(progress)
        if settings.reference_every and self.updates % settings.reference_every == 0:
            self.reference.load_state_dict(self.policy.state_dict())
        self.updates += 1
        advantage = advantages(rewards, settings.baseline, settings.normalise).flatten()
        for epoch in range(settings.epochs):
            # The first time the policy is still the one that drew the sequences.
            now = sampled if epoch == 0 else self.policy.evaluate(sampled.sequences, settings.temperature(progress))
            loss = self._loss(now, sampled, advantage, settings.temperature(progress))
            _descend(loss, self.optimizer, settings.max_grad_norm)

    def _loss(self, now: Sampled, drawn: Sampled, advantage: Tensor, temperature: float) -> Tensor:
        settings = self.settings
        if settings.algorithm == "reinforce":
            loss = reinforce_loss(now.log_probs, advantage)
        else:
            loss = clipped_loss(now.log_probs, drawn.log_probs, advantage, settings.clip)
        if settings.entropy_bonus:
            loss = loss - settings.entropy_bonus * now.entropies.mean()
        if settings.kl:
            with torch.no_grad():
                reference = self.reference.evaluate(drawn.sequences, temperature).log_probs
            loss = loss + settings.kl * kl_estimate(now.log_probs, reference)
        return loss


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer, max_grad_norm: float) -> None:
    """One clipped gradient step."""
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(_parameters(optimizer), max_grad_norm)
    optimizer.step()


def _parameters(optimizer: torch.optim.Optimizer) -> Sequence[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
