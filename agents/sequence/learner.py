"""How POS-ISP learns: policy gradients for the sequence, backpropagation through the pipeline for the parameters."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from agents.algorithms import advantages, clipped_loss, kl_estimate, reinforce_loss
from agents.sequence.policy import Sampled, SequencePolicy
from agents.sequence.predictor import ParameterPredictor, squash
from agents.sequence.settings import LearnerSettings
from isp_gym.benchmark import Training
from isp_gym.pipelines import Pipelines


class SequenceTraining:
    """The training of a sequence policy and a parameter predictor, which can be interrupted after each iteration.

    Args:
        policy: Trained in place.
        predictor: Trained in place.
        training: The scenes, the transition and the budget.
        settings: Batch, learning rates and schedule.
    """

    def __init__(
        self, policy: SequencePolicy, predictor: ParameterPredictor, training: Training, settings: LearnerSettings
    ) -> None:
        self.predictor, self.training, self.settings = predictor, training, settings
        self.sequence_learner = SequenceLearner(policy, settings)
        self.params_optimizer = torch.optim.Adam(predictor.parameters(), settings.params_lr, betas=(0.9, 0.99))
        self.total = training.remaining
        self.images = settings.batch_size // settings.sequences_per_image
        self.iteration = self.position = 0

    def iterate(self) -> bool:
        """Train on one batch; false, and nothing done, if the budget covers none."""
        settings, training, group = self.settings, self.training, self.settings.sequences_per_image
        images = min(self.images, training.remaining // group)
        if images < 1:
            return False
        progress = 1 - training.remaining / self.total
        train_sequence, train_params = settings.trains(self.iteration)
        batch = training.scenes.batch(self._next_scenes(images))
        sampled = self.sequence_learner.draw(images * group, progress)
        trials = Trials.of(sampled.sequences, group)
        with torch.set_grad_enabled(train_params):
            scores = self.predictor.scores(batch.images, trials.sequences, trials.image)
            pipelines = Pipelines(training.rules, trials.sequences, squash(scores))
            outcome = training.play(batch.rows(trials.image), pipelines)
        numbers = {"loss": (outcome.loss * trials.share).sum(), "reward": (outcome.reward * trials.share).sum()}
        if train_params:
            loss = ((outcome.loss + outcome.penalty) * trials.share).sum()
            loss = loss + settings.score_penalty * scores.square().mean()
            self.params_optimizer.param_groups[0]["lr"] = settings.params_lr * settings.step_size(progress)
            _descend(loss, self.params_optimizer, settings.max_grad_norm)
            numbers["params_loss"] = loss
        if train_sequence:
            rewards = outcome.reward.detach()[trials.of_sample].reshape(-1, group)
            numbers["policy_loss"] = self.sequence_learner.update(sampled, rewards, progress)
        numbers["entropy"] = sampled.entropies.mean()
        training.log(
            **{key: float(value.detach()) for key, value in numbers.items()}, unique_rollouts=len(trials.image)
        )
        self.images = settings.images(len(trials.image) / images)
        self.iteration += 1
        return True

    def _next_scenes(self, count: int) -> list[int]:
        """Scenes one after another, as ``batch_size`` sub-environments show them; (count,) indices."""
        places = torch.arange(self.position, self.position + count)
        self.position += count
        lanes = self.settings.batch_size
        return self.training.scenes_at(places % lanes, places // lanes).tolist()

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers and positions: all that the next iteration depends on but random numbers."""
        return {
            **self.sequence_learner.state_dict(),
            "predictor": self.predictor.state_dict(),
            "params_optimizer": self.params_optimizer.state_dict(),
            "total": self.total,
            "images": self.images,
            "iteration": self.iteration,
            "position": self.position,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        self.sequence_learner.load_state_dict(state)
        self.predictor.load_state_dict(state["predictor"])
        self.params_optimizer.load_state_dict(state["params_optimizer"])
        self.total, self.images = state["total"], state["images"]
        self.iteration, self.position = state["iteration"], state["position"]


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

    def update(self, sampled: Sampled, rewards: Tensor, progress: float) -> Tensor:
        """Learn from what the sequences earned.

        Args:
            sampled: From :meth:`draw`.
            rewards: (N, G): G sequences in turn on each of N images.
            progress: As in :meth:`draw`.

        Returns:
            The loss of the last epoch, a scalar without gradient.
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
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Policy, reference policy, optimiser and number of updates."""
        return {
            "policy": self.policy.state_dict(),
            "reference": self.reference.state_dict(),
            "sequence_optimizer": self.optimizer.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave; further keys are ignored."""
        self.policy.load_state_dict(state["policy"])
        self.reference.load_state_dict(state["reference"])
        self.optimizer.load_state_dict(state["sequence_optimizer"])
        self.updates = state["updates"]

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
