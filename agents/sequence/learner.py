"""How POS-ISP learns: REINFORCE for the sequence, backpropagation through the pipeline for the parameters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from agents.algorithms.reinforce import BASELINES, advantages, reinforce_loss
from agents.sequence.predictor import squash
from isp_gym.benchmark import Training
from isp_gym.errors import UserError, unknown

if TYPE_CHECKING:
    from agents.sequence.posisp import POSISP

UPDATES = ("alternate", "joint")


@dataclass(frozen=True)
class LearnerSettings:
    """What can be tuned.

    Attributes:
        batch_size: Pipelines tried in one iteration; each costs one task evaluation.
        sequences_per_image: Of these, how many are tried on the same image.
        sequence_lr: Adam's step size for the sequence policy. Published: 3e-5, for 120,000 evaluations.
        params_lr: Adam's step size for the parameter predictor. Published: 1e-4.
        baseline: What a sequence's reward is compared with, see :func:`agents.algorithms.reinforce.advantages`.
        update: ``"alternate"``: iterations train the sequence policy and the parameter predictor in turn, as
            published; ``"joint"``: every iteration trains both on the same pipelines, at half the evaluations.
        normalise: Divide advantages by their standard deviation over the sequences on the same image, so that scenes
            with large rewards do not drown the others (as in GRPO, Shao et al. 2024).
        score_penalty: Weight of the mean squared score (before tanh) of the parameter predictor in its loss. Without
            it, parameters run into the ends of their ranges, where tanh has no gradient to bring them back.
        decay: Both step sizes fall to zero along half a cosine; otherwise they are constant, as published.
        max_grad_norm: Gradients are clipped to this norm. (The published 1e-4 pushes most of them below Adam's eps.)
        start_temperature: Sampling temperature at the beginning.
        end_temperature: Sampling temperature that it decays to.
        half_life: Part of the training in which the temperature covers half of its way.
    """

    batch_size: int = 8
    sequences_per_image: int = 4
    sequence_lr: float = 1e-3
    params_lr: float = 1e-3
    baseline: str = "image"
    normalise: bool = True
    score_penalty: float = 1e-3
    decay: bool = True
    update: str = "joint"
    max_grad_norm: float = 1.0
    start_temperature: float = 2.5
    end_temperature: float = 0.2
    half_life: float = 0.2

    def __post_init__(self) -> None:
        if self.baseline not in BASELINES:
            raise unknown("baseline", self.baseline, BASELINES)
        if self.update not in UPDATES:
            raise unknown("update", self.update, UPDATES)
        if self.batch_size % self.sequences_per_image:
            raise UserError(f"batch_size {self.batch_size} is no multiple of {self.sequences_per_image} per image")
        if self.baseline == "image" and self.sequences_per_image < 2:
            raise UserError("baseline 'image' needs sequences_per_image of at least 2")

    def step_size(self, progress: float) -> float:
        """Factor of both step sizes after a part ``progress`` of the training."""
        return (1 + math.cos(math.pi * progress)) / 2 if self.decay else 1.0

    def temperature(self, progress: float) -> float:
        """Sampling temperature after a part ``progress`` in [0, 1] of the training."""
        span = self.start_temperature - self.end_temperature
        return self.end_temperature + span * 2 ** (-progress / self.half_life)


def learn(agent: POSISP, training: Training, settings: LearnerSettings) -> None:
    """Train ``agent``'s networks until the budget is spent.

    Args:
        agent: Its ``policy`` and ``predictor`` are trained in place.
        training: The scenes, the transition and the budget.
        settings: Batch, step sizes and schedule.
    """
    sequence_optimizer = torch.optim.Adam(agent.policy.parameters(), settings.sequence_lr, betas=(0.9, 0.99))
    params_optimizer = torch.optim.Adam(agent.predictor.parameters(), settings.params_lr, betas=(0.9, 0.99))
    group = settings.sequences_per_image
    iterations = training.remaining // settings.batch_size
    scene_stream = training.scene_stream(settings.batch_size // group)
    for iteration in range(iterations):
        for optimizer, size in ((sequence_optimizer, settings.sequence_lr), (params_optimizer, settings.params_lr)):
            optimizer.param_groups[0]["lr"] = size * settings.step_size(iteration / iterations)
        joint = settings.update == "joint"
        train_sequence, train_params = joint or iteration % 2 == 0, joint or iteration % 2 == 1
        batch = training.scenes.batch(next(scene_stream).repeat_interleave(group))
        sampled = agent.policy.sample(settings.batch_size, settings.temperature(iteration / iterations))
        with torch.set_grad_enabled(train_params):
            scores = agent.predictor.scores(batch.images[::group])
            params = squash(scores).repeat_interleave(group, dim=0)
            outcome = training.transition.play(batch, sampled.sequences, params)
        if train_params:
            loss = (outcome.loss + outcome.penalty).mean() + settings.score_penalty * scores.square().mean()
            _descend(loss, params_optimizer, settings.max_grad_norm)
        if train_sequence:
            rewards = outcome.reward.detach().reshape(-1, group)
            advantage = advantages(rewards, settings.baseline, settings.normalise).flatten()
            _descend(reinforce_loss(sampled.log_probs, advantage), sequence_optimizer, settings.max_grad_norm)
        training.checkpoint(agent)


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer, max_grad_norm: float) -> None:
    """One clipped gradient step."""
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], max_grad_norm)
    optimizer.step()
