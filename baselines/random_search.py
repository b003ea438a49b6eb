"""Random search: the best of many random pipelines, the same one for every image."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor

from isp_gym.benchmark import Training
from isp_gym.errors import UserError

_FILE = "pipeline.json"


class RandomSearch:
    """Draws pipelines uniformly (length, modules, order, parameters) and keeps the one with the highest mean reward.

    Args:
        scenes_per_candidate: Each candidate is scored on this many training scenes, the same for all candidates.
    """

    def __init__(self, scenes_per_candidate: int = 16) -> None:
        if int(scenes_per_candidate) < 1:
            raise UserError(f"random search: scenes_per_candidate must be at least 1, not {scenes_per_candidate}")
        self.scenes_per_candidate = int(scenes_per_candidate)
        self.sequence: Tensor
        self.params: Tensor

    @torch.no_grad()
    def train(self, training: Training) -> None:
        """Score candidates until the budget is spent."""
        bank, length = training.bank, training.setting.length
        scenes = training.scenes.batch(range(min(self.scenes_per_candidate, len(training.scenes))))
        self.sequence, self.params = torch.full((length,), bank.end_token), bank.neutral.clone()
        best = -float("inf")
        while training.remaining >= len(scenes):
            modules = torch.randperm(bank.num_modules)[: int(torch.randint(length + 1, ()))]
            sequence = torch.full((length,), bank.end_token)
            sequence[: len(modules)] = modules
            params = torch.rand(bank.num_params)
            sequences = sequence.repeat(len(scenes), 1)
            outcome = training.transition.play(scenes, sequences, params.repeat(len(scenes), 1))
            reward = float(outcome.reward.mean())
            if reward > best:
                best, self.sequence, self.params = reward, sequence, params
            training.checkpoint(self)

    def save(self, folder: Path) -> None:
        """Write the best pipeline to ``folder``."""
        best = {"sequence": self.sequence.tolist(), "params": self.params.tolist()}
        (folder / _FILE).write_text(json.dumps(best))

    def load(self, folder: Path) -> None:
        """Read what :meth:`save` wrote.

        Raises:
            UserError: It is missing or damaged.
        """
        try:
            best = json.loads((folder / _FILE).read_text())
            self.sequence, self.params = torch.tensor(best["sequence"]), torch.tensor(best["params"])
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"'{folder}' holds no pipeline of random search: {error}") from error

    def pipelines(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The best pipeline for every image: (B, L) tokens and (B, P) parameters."""
        return self.sequence.repeat(len(images), 1), self.params.to(images).repeat(len(images), 1)
