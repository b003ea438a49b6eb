"""How POS-ISP learns: policy gradients for the sequence, backpropagation through the pipeline for the parameters."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from agents.algorithms import advantages, clipped_loss, kl_estimate, reinforce_loss
from agents.sequence.policy import Sampled, SequencePolicy
from agents.sequence.predictor import squash
from agents.sequence.settings import LearnerSettings
from isp_gym.benchmark import Training
from isp_gym.envs.scenes import pick

if TYPE_CHECKING:
    from agents.sequence.posisp import POSISP


def learn(agent: POSISP, training: Training, settings: LearnerSettings) -> None:
    """Train ``agent``'s networks until the budget is spent.

    Args:
        agent: Its ``policy`` and ``predictor`` are trained in place.
        training: The scenes, the transition and the budget.
        settings: Batch, step sizes and schedule.
    """
    budget, group = training.remaining, settings.sequences_per_image
    sequence_learner = SequenceLearner(agent.policy, settings)
    params_optimizer = torch.optim.Adam(agent.predictor.parameters(), settings.params_lr, betas=(0.9, 0.99))
    scenes, images, iteration = _scenes(training, settings.batch_size), settings.batch_size // group, 0
    while images := min(images, training.remaining // group):
        progress = 1 - training.remaining / budget
        train_sequence, train_params = settings.trains(iteration)
        batch = training.scenes.batch(list(islice(scenes, images)))
        sampled = sequence_learner.draw(images * group, progress)
        trials = Trials.of(sampled.sequences, group)
        with torch.set_grad_enabled(train_params):
            scores = agent.predictor.scores(batch.images, trials.sequences, trials.image)
            outcome = training.transition.play(pick(batch, trials.image), trials.sequences, squash(scores))
        if train_params:
            loss = ((outcome.loss + outcome.penalty) * trials.share).sum()
            loss = loss + settings.score_penalty * scores.square().mean()
            params_optimizer.param_groups[0]["lr"] = settings.params_lr * settings.step_size(progress)
            _descend(loss, params_optimizer, settings.max_grad_norm)
        if train_sequence:
            rewards = outcome.reward.detach()[trials.of_sample].reshape(-1, group)
            sequence_learner.update(sampled, rewards, progress)
        training.checkpoint(agent)
        images = settings.images(len(trials.image) / images)
        iteration += 1


def _scenes(training: Training, lanes: int) -> Iterator[int]:
    """The training scenes one after another, as ``lanes`` environments would show them."""
    return chain.from_iterable(indices.tolist() for indices in training.scene_stream(lanes))


@dataclass(frozen=True)
class Trials:
    """What has to be tried of a batch of samples: the same sequence on the same image earns the same, so only once.

    A policy that has become sure of its sequence would otherwise spend its budget on copies.

    Attributes:
        sequences: (M, L) int64.
        image: Position of the image that each is tried on, (M,) int64, ascending.
        share: Part of the samples that it stands for, (M,), in all 1.
        of_sample: The trial of each sample, (B,) int64.
    """

    sequences: Tensor
    image: Tensor
    share: Tensor
    of_sample: Tensor

    @classmethod
    def of(cls, sequences: Tensor, group: int) -> Trials:
        """The trials of samples (B, L), ``group`` of them in turn on each image."""
        image = torch.arange(len(sequences) // group, device=sequences.device).repeat_interleave(group)
        pairs, of_sample, counts = torch.cat([image[:, None], sequences], 1).unique(
            dim=0, return_inverse=True, return_counts=True
        )
        return cls(pairs[:, 1:], pairs[:, 0], counts / len(sequences), of_sample)


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

    def draw(self, count: int, progress: float) -> Sampled:
        """Draw ``count`` sequences after a part ``progress`` of the training."""
        return self.policy.sample(count, self.settings.temperature(progress))

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


def _parameters(optimizer: torch.optim.Optimizer) -> Iterable[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
