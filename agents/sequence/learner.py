"""The training of POS-ISP: policy gradients for the sequence, gradients through the pipeline for the parameters."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from agents.algorithms import advantages, clipped_loss, kl_estimate, reinforce_loss
from agents.sequence.networks import ParameterPredictor, squash
from agents.sequence.policy import Sampled, SequencePolicy
from agents.sequence.settings import LearnerSettings
from isp_gym.benchmark import Training
from isp_gym.data import SceneBatch
from isp_gym.pipelines import Pipelines


class SequenceLearner:
    """Train a sequence policy and a parameter predictor in place; it can be interrupted after each iteration.

    Args:
        policy: Trained with REINFORCE, PPO or GRPO.
        predictor: Trained with the gradient of the task's loss through the pipeline.
        training: The scenes, the transition and the budget.
        settings: The hyper-parameters.
    """

    _NETWORKS = ("policy", "predictor", "reference", "sequence_optimizer", "params_optimizer")
    _NUMBERS = ("total", "images_per_batch", "iteration", "sequence_updates", "scenes_shown")

    def __init__(
        self, policy: SequencePolicy, predictor: ParameterPredictor, training: Training, settings: LearnerSettings
    ) -> None:
        self.policy, self.predictor, self.training, self.settings = policy, predictor, training, settings
        self.reference = copy.deepcopy(policy).requires_grad_(False)
        betas = (0.9, 0.99)  # as published
        self.sequence_optimizer = torch.optim.Adam(policy.parameters(), settings.sequence_learning_rate, betas)
        self.params_optimizer = torch.optim.Adam(predictor.parameters(), settings.params_learning_rate, betas)
        self.total = training.remaining
        self.images_per_batch = settings.batch_size // settings.sequences_per_image
        self.iteration = self.sequence_updates = self.scenes_shown = 0

    def iterate(self) -> bool:
        """Train on one batch; return false, and do nothing, if the budget covers none."""
        settings, training, group = self.settings, self.training, self.settings.sequences_per_image
        num_images = min(self.images_per_batch, training.remaining // group)
        if num_images < 1:
            return False
        progress = 1 - training.remaining / self.total
        temperature = settings.temperature(progress)
        trains_sequence, trains_params = settings.trains(self.iteration)
        for optimizer, learning_rate in (
            (self.sequence_optimizer, settings.sequence_learning_rate),
            (self.params_optimizer, settings.params_learning_rate),
        ):
            optimizer.param_groups[0]["lr"] = learning_rate * settings.learning_rate_factor(progress)

        # Sample G sequences for each of N images, predict the parameters of the M different ones, and run each once.
        scenes = self._next_scenes(num_images)
        sampled = self.policy.sample(num_images * group, temperature)  # (N * G, L)
        rollouts = UniqueRollouts.of(sampled.sequences, group)  # (M, L)
        with torch.set_grad_enabled(trains_params):
            pretanh = self.predictor.pretanh(scenes.images, rollouts.sequences, rollouts.image)  # (M, P)
            pipelines = Pipelines(training.rules, rollouts.sequences, squash(pretanh))
            outcome = training.play(scenes.rows(rollouts.image), pipelines)
        logged = {
            "losses/task_loss": (outcome.loss * rollouts.weight).sum(),
            "losses/entropy": sampled.entropies.mean(),
            "charts/episodic_return": (outcome.reward * rollouts.weight).sum(),
        }

        # The task's loss is differentiable in the parameters; a sequence only earns a reward.
        if trains_params:
            params_loss = ((outcome.loss + outcome.penalty) * rollouts.weight).sum()
            params_loss = params_loss + settings.pretanh_l2 * pretanh.square().mean()
            _gradient_step(params_loss, self.params_optimizer, settings.max_grad_norm)
            logged["losses/params_loss"] = params_loss
        if trains_sequence:
            rewards = outcome.reward.detach()[rollouts.inverse].reshape(-1, group)
            logged |= self.update_sequence(sampled, rewards, temperature)

        numbers = {key: float(value.detach()) for key, value in logged.items()}
        training.log(**numbers, **{"charts/unique_rollouts": len(rollouts.image)})
        self.images_per_batch = settings.images_per_batch(len(rollouts.image) / num_images)
        self.iteration += 1
        return True

    def update_sequence(self, sampled: Sampled, rewards: Tensor, temperature: float) -> dict[str, Tensor]:
        """Update the sequence policy ``n_epochs`` times on one batch.

        Args:
            sampled: N * G sequences from the policy as it is.
            rewards: (N, G): G sequences in turn on each of N images.
            temperature: At which they were sampled.

        Returns:
            Losses of the last epoch to be logged, scalars without gradient.
        """
        settings = self.settings
        if settings.reference_update_interval and self.sequence_updates % settings.reference_update_interval == 0:
            self.reference.load_state_dict(self.policy.state_dict())
        self.sequence_updates += 1
        advantage = advantages(rewards, settings.baseline, settings.normalize_advantage).flatten()
        if settings.kl_coef:
            with torch.no_grad():
                reference_log_probs = self.reference.evaluate(sampled.sequences, temperature).log_probs
        logged = {}
        for epoch in range(settings.n_epochs):
            # In the first epoch the policy is still the one that the sequences were sampled from.
            now = sampled if epoch == 0 else self.policy.evaluate(sampled.sequences, temperature)
            if settings.algorithm == "reinforce":
                policy_loss = reinforce_loss(now.log_probs, advantage)
            else:
                policy_loss = clipped_loss(now.log_probs, sampled.log_probs, advantage, settings.clip_range)
                logged["losses/approx_kl"] = kl_estimate(sampled.log_probs, now.log_probs).detach()
            loss = policy_loss
            if settings.ent_coef:
                loss = loss - settings.ent_coef * now.entropies.mean()
            if settings.kl_coef:
                loss = loss + settings.kl_coef * kl_estimate(now.log_probs, reference_log_probs)
            _gradient_step(loss, self.sequence_optimizer, settings.max_grad_norm)
        return {**logged, "losses/policy_loss": policy_loss.detach()}

    def _next_scenes(self, count: int) -> SceneBatch:
        """Scenes one after another, as ``batch_size`` sub-environments show them."""
        places = torch.arange(self.scenes_shown, self.scenes_shown + count)
        self.scenes_shown += count
        num_envs = self.settings.batch_size
        return self.training.scenes.batch(self.training.scenes_at(places % num_envs, places // num_envs).tolist())

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next iteration depends on but random numbers: networks, optimisers and positions."""
        networks = {name: getattr(self, name).state_dict() for name in self._NETWORKS}
        return {**networks, **{name: getattr(self, name) for name in self._NUMBERS}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` has returned."""
        for name in self._NETWORKS:
            getattr(self, name).load_state_dict(state[name])
        for name in self._NUMBERS:
            setattr(self, name, state[name])


@dataclass(frozen=True)
class UniqueRollouts:
    """The different (image, sequence) pairs of a batch of samples: a pair earns the same each time, so it runs once.

    A policy that has converged to one sequence would otherwise spend its budget on copies.

    Attributes:
        sequences: (M, L) int64.
        image: Position of the image that each runs on, (M,) int64, ascending.
        weight: Fraction of the samples that each stands for, (M,), in all 1.
        inverse: The rollout of each sample, (B,) int64.

    Example:
        >>> sequences = torch.tensor([[0, 1], [0, 1], [1, 0], [1, 0]])
        >>> rollouts = UniqueRollouts.of(sequences, group=4)
        >>> rollouts.sequences.tolist(), rollouts.weight.tolist(), rollouts.inverse.tolist()
        ([[0, 1], [1, 0]], [0.5, 0.5], [0, 0, 1, 1])
    """

    sequences: Tensor
    image: Tensor
    weight: Tensor
    inverse: Tensor

    @classmethod
    def of(cls, sequences: Tensor, group: int) -> UniqueRollouts:
        """Find the unique rollouts of samples (B, L), ``group`` of them in turn on each image."""
        image = torch.arange(len(sequences) // group, device=sequences.device).repeat_interleave(group)
        pairs, inverse, counts = torch.cat([image[:, None], sequences], 1).unique(
            dim=0, return_inverse=True, return_counts=True
        )
        return cls(pairs[:, 1:], pairs[:, 0], counts / len(sequences), inverse)


def _gradient_step(loss: Tensor, optimizer: torch.optim.Optimizer, max_grad_norm: float) -> None:
    """Take one step along the gradient, clipped to a norm."""
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(optimizer.param_groups[0]["params"], max_grad_norm)
    optimizer.step()
