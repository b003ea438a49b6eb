"""What can be tuned of POS-ISP and its learners; every field is an option in YAML."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agents.algorithms.reinforce import BASELINES
from agents.sequence.gru import GRUPolicy
from agents.sequence.policy import SequencePolicy
from agents.sequence.table import MarkovPolicy, TablePolicy
from isp_gym.errors import UserError, unknown

POLICIES: dict[str, type[SequencePolicy]] = {"gru": GRUPolicy, "table": TablePolicy, "markov": MarkovPolicy}
ALGORITHMS = ("reinforce", "ppo", "grpo")
UPDATES = ("alternate", "joint")


@dataclass(frozen=True)
class LearnerSettings:
    """The defaults are our own best; ``configs/posisp-paper.yaml`` holds the published ones.

    Attributes:
        policy: Sequence policy: ``"gru"`` (published), ``"table"`` (the paper's ablation) or ``"markov"``.
        width: Channels of the parameter predictor's first convolution. Published: 32; 13 is less than 0.1 M parameters.
        condition: The parameter predictor sees the sequence as well as the image.
        linear_input: The parameter predictor sees the linear image, as published.
        neutral_start: It starts at parameters that change the image least; otherwise at random, as published.
        algorithm: ``"reinforce"``; ``"ppo"``: clipped surrogate, several ``epochs`` a batch; ``"grpo"``: the same with
            advantages normalised over the sequences on one image, and ``kl`` to a reference.
        batch_size: Task evaluations of one iteration, about: the same sequence on the same image is tried only once, so
            that a policy that becomes sure of its sequence sees more images.
        sequences_per_image: How many sequences are drawn for each image.
        sequence_lr: Adam's step size for the sequence policy. Published: 3e-5, for 120,000 evaluations.
        params_lr: Adam's step size for the parameter predictor. Published: 1e-4.
        baseline: What a sequence's reward is compared with, see :func:`agents.algorithms.reinforce.advantages`.
        normalise: Divide advantages by their standard deviation over the sequences on the same image, so that scenes
            with large rewards do not drown the others (as in GRPO, Shao et al. 2024).
        epochs: Updates of the sequence policy from one batch; PPO and GRPO only.
        clip: How far PPO's and GRPO's probability ratio may go from 1.
        kl: Weight of the KL divergence to the reference policy.
        reference_every: Iterations after which the policy becomes its own new reference; 0 keeps the one at the start.
        entropy_bonus: Weight of the entropies of all steps' choices, added up, in the objective.
        update: ``"alternate"``: iterations train the sequence policy and the parameter predictor in turn, each on
            pipelines drawn for it; ``"joint"``: every iteration trains both on the same pipelines, at half the
            evaluations (so does the authors' released code).
        params_updates: Iterations of the parameter predictor for each of the sequence policy, when they alternate.
        score_penalty: Weight of the mean squared score (before tanh) of the parameter predictor in its loss. Without
            it, parameters run into the ends of their ranges, where tanh has no gradient to bring them back.
        decay: Both step sizes fall to zero along half a cosine; otherwise they are constant, as published.
        max_grad_norm: Gradients are clipped to this norm. (The published 1e-4 pushes most of them below Adam's eps.)
        start_temperature: Sampling temperature at the beginning.
        end_temperature: Sampling temperature that it decays to.
        half_life: Part of the training in which the temperature covers half of its way.
    """

    policy: str = "gru"
    width: int = 32
    condition: bool = False
    linear_input: bool = False
    neutral_start: bool = True
    algorithm: str = "reinforce"
    batch_size: int = 8
    sequences_per_image: int = 4
    sequence_lr: float = 1e-3
    params_lr: float = 1e-3
    baseline: str = "image"
    normalise: bool = True
    epochs: int = 1
    clip: float = 0.2
    kl: float = 0.0
    reference_every: int = 0
    entropy_bonus: float = 0.0
    update: str = "joint"
    params_updates: int = 1
    score_penalty: float = 1e-3
    decay: bool = True
    max_grad_norm: float = 1.0
    start_temperature: float = 2.5
    end_temperature: float = 0.2
    half_life: float = 0.2

    def __post_init__(self) -> None:
        choices = {"policy": POLICIES, "algorithm": ALGORITHMS, "baseline": BASELINES, "update": UPDATES}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name in ("width", "batch_size", "sequences_per_image", "epochs", "params_updates"):
            if getattr(self, name) < 1:
                raise UserError(f"posisp: {name} must be at least 1, not {getattr(self, name)}")
        for name in ("clip", "max_grad_norm", "start_temperature", "end_temperature", "half_life"):
            if not getattr(self, name) > 0:
                raise UserError(f"posisp: {name} must be greater than 0, not {getattr(self, name)}")
        for name in ("sequence_lr", "params_lr", "kl", "reference_every", "entropy_bonus", "score_penalty"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"posisp: {name} must be finite and at least 0, not {getattr(self, name)}")
        if self.batch_size % self.sequences_per_image:
            raise UserError(f"batch_size {self.batch_size} is no multiple of {self.sequences_per_image} per image")
        if (self.baseline == "image" or self.normalise) and self.sequences_per_image < 2:
            raise UserError("baseline 'image' and 'normalise' need sequences_per_image of at least 2")
        if self.baseline == "batch" and self.batch_size < 2:
            raise UserError("baseline 'batch' needs batch_size of at least 2")
        if self.algorithm == "reinforce" and self.epochs > 1:
            raise UserError("REINFORCE learns once from each batch; for more epochs choose algorithm ppo or grpo")
        if self.algorithm == "grpo" and not (self.baseline == "image" and self.normalise):
            raise UserError("GRPO compares sequences on one image: it needs baseline=image and normalise=true")

    def step_size(self, progress: float) -> float:
        """Factor of both step sizes after a part ``progress`` of the training."""
        return (1 + math.cos(math.pi * progress)) / 2 if self.decay else 1.0

    def temperature(self, progress: float) -> float:
        """Sampling temperature after a part ``progress`` in [0, 1] of the training."""
        span = self.start_temperature - self.end_temperature
        return self.end_temperature + span * 2 ** (-progress / self.half_life)

    def images(self, trials_per_image: float) -> int:
        """How many images fill a batch, if each takes ``trials_per_image`` task evaluations."""
        return max(
            self.batch_size // self.sequences_per_image, min(self.batch_size, int(self.batch_size / trials_per_image))
        )

    def trains(self, iteration: int) -> tuple[bool, bool]:
        """Whether this iteration trains the sequence policy, and whether it trains the parameter predictor."""
        if self.update == "joint":
            return True, True
        sequence = iteration % (self.params_updates + 1) == 0
        return sequence, not sequence
