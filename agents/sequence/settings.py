"""The hyper-parameters of POS-ISP; every field is an option in YAML."""

from __future__ import annotations

import math
from dataclasses import dataclass

from agents.algorithms import BASELINES
from agents.sequence.networks import POLICIES
from isp_gym.errors import UserError, unknown

ALGORITHMS = ("reinforce", "ppo", "grpo")
UPDATES = ("alternate", "joint")


@dataclass(frozen=True)
class LearnerSettings:
    """Hyper-parameters; the defaults are our own best, ``configs/posisp-paper.yaml`` holds the published ones.

    Example:
        >>> LearnerSettings(algorithm="ppo", n_epochs=4).clip_range
        0.2
        >>> LearnerSettings(batch_size=6)
        Traceback (most recent call last):
        isp_gym.errors.UserError: posisp: batch_size 6 is no multiple of sequences_per_image 4
    """

    policy: str = "gru"
    """Sequence policy: ``gru`` (published), ``table`` (the paper's ablation) or ``markov``."""
    width: int = 32
    """Channels of the parameter predictor's first convolution; published: 32 (0.53 M parameters), 13: 0.09 M."""
    condition: bool = False
    """Let the parameter predictor see the sequence as well as the image."""
    linear_input: bool = False
    """Let the parameter predictor see the linear image, as published, in place of a gamma-compressed one."""
    identity_init: bool = True
    """Start the parameter predictor at the parameters that change the image least; published: at random."""
    algorithm: str = "reinforce"
    """Loss of the sequence policy: ``reinforce`` (published), ``ppo`` or ``grpo``."""
    batch_size: int = 8
    """Task evaluations per iteration, about; where few rollouts are unique, more images fill the batch."""
    sequences_per_image: int = 4
    """Sequences sampled for each image; published: 1."""
    sequence_learning_rate: float = 1e-3
    """Adam's learning rate for the sequence policy; published: 3e-5, for 120,000 evaluations."""
    params_learning_rate: float = 1e-3
    """Adam's learning rate for the parameter predictor; published: 1e-4."""
    anneal_lr: bool = True
    """Anneal both learning rates to zero along half a cosine; otherwise they are constant, as published."""
    max_grad_norm: float = 1.0
    """Norm to which gradients are clipped; the published 1e-4 pushes most of them below Adam's epsilon."""
    baseline: str = "image"
    """What rewards are compared with: ``none`` (published); the others in the ``batch``, or on the same ``image``."""
    normalize_advantage: bool = True
    """Divide advantages by the standard deviation over the sequences on the same image (as GRPO does)."""
    n_epochs: int = 1
    """Updates of the sequence policy from one batch; PPO and GRPO only."""
    clip_range: float = 0.2
    """How far the probability ratio may go from 1; PPO and GRPO only."""
    kl_coef: float = 0.0
    """Coefficient of the KL divergence to the reference policy in the loss."""
    reference_update_interval: int = 0
    """Updates after which the policy becomes its own new reference; 0 keeps the one at the start."""
    ent_coef: float = 0.0
    """Coefficient of the entropy bonus, the sum over the entropies of all steps."""
    update: str = "joint"
    """``joint``: each iteration trains both networks, as in the authors' code; ``alternate``: in turn (published)."""
    params_updates: int = 1
    """Iterations of the parameter predictor for each of the sequence policy, when they alternate."""
    pretanh_l2: float = 1e-3
    """Coefficient of the mean squared pre-tanh output: it keeps parameters where tanh has a gradient."""
    start_temperature: float = 2.5
    """Sampling temperature at the beginning."""
    end_temperature: float = 0.2
    """Sampling temperature that it decays to."""
    temperature_half_life: float = 0.2
    """Fraction of the training in which the temperature covers half of its way."""

    def __post_init__(self) -> None:
        choices = {"policy": POLICIES, "algorithm": ALGORITHMS, "baseline": BASELINES, "update": UPDATES}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name in ("width", "batch_size", "sequences_per_image", "n_epochs", "params_updates"):
            if getattr(self, name) < 1:
                raise UserError(f"posisp: {name} must be at least 1, not {getattr(self, name)}")
        for name in ("clip_range", "max_grad_norm", "start_temperature", "end_temperature", "temperature_half_life"):
            if not getattr(self, name) > 0:
                raise UserError(f"posisp: {name} must be greater than 0, not {getattr(self, name)}")
        rates = ("sequence_learning_rate", "params_learning_rate")
        for name in (*rates, "kl_coef", "reference_update_interval", "ent_coef", "pretanh_l2"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"posisp: {name} must be finite and at least 0, not {getattr(self, name)}")
        group = self.sequences_per_image
        if self.batch_size % group:
            raise UserError(f"posisp: batch_size {self.batch_size} is no multiple of sequences_per_image {group}")
        if (self.baseline == "image" or self.normalize_advantage) and group < 2:
            raise UserError("posisp: baseline=image and normalize_advantage need sequences_per_image of at least 2")
        if self.baseline == "batch" and self.batch_size < 2:
            raise UserError("posisp: baseline=batch needs batch_size of at least 2")
        if self.algorithm == "reinforce" and self.n_epochs > 1:
            raise UserError("posisp: REINFORCE learns once from each batch; for more n_epochs choose ppo or grpo")
        if self.algorithm == "grpo" and not (self.baseline == "image" and self.normalize_advantage):
            raise UserError("posisp: algorithm=grpo needs baseline=image and normalize_advantage=true")

    def learning_rate_factor(self, progress: float) -> float:
        """Return the factor of both learning rates after a fraction ``progress`` of the training."""
        return (1 + math.cos(math.pi * progress)) / 2 if self.anneal_lr else 1.0

    def temperature(self, progress: float) -> float:
        """Return the sampling temperature after a fraction ``progress`` in [0, 1] of the training."""
        span = self.start_temperature - self.end_temperature
        return self.end_temperature + span * 2 ** (-progress / self.temperature_half_life)

    def images_per_batch(self, rollouts_per_image: float) -> int:
        """Return how many images fill a batch, if each takes ``rollouts_per_image`` task evaluations."""
        fewest = self.batch_size // self.sequences_per_image
        return max(fewest, min(self.batch_size, int(self.batch_size / rollouts_per_image)))

    def trains(self, iteration: int) -> tuple[bool, bool]:
        """Say whether this iteration trains the sequence policy, and whether it trains the parameter predictor."""
        if self.update == "joint":
            return True, True
        sequence = iteration % (self.params_updates + 1) == 0
        return sequence, not sequence
