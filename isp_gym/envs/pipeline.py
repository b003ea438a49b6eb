"""Pipelines under construction: which modules may come next, and what has been done so far."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isp_gym.pipelines import Rules


@dataclass
class PipelineState:
    """Pipelines under construction, one for each sub-environment, or for each image of a policy that is tested.

    Attributes:
        rules: What a pipeline may be.
        images: Images so far, (n, 3, H, W), unclipped.
        used: Modules used so far, (n, K) bool; with ``repeats`` they may be used again.
        step: Actions taken so far, (n,) int64.
        sequences: Modules in order of use, (n, L) int64, padded with the end token.
        params: Normalised parameters of each step, (n, L, P); neutral where there is none yet.
    """

    rules: Rules
    images: Tensor
    used: Tensor
    step: Tensor
    sequences: Tensor
    params: Tensor

    @classmethod
    def start(cls, images: Tensor, rules: Rules) -> PipelineState:
        """Nothing done yet to ``images`` (n, 3, H, W)."""
        n, device, bank = len(images), images.device, rules.bank
        used = torch.zeros(n, bank.num_modules, dtype=torch.bool, device=device)
        step = torch.zeros(n, dtype=torch.int64, device=device)
        sequences = torch.full((n, rules.max_length), bank.end_token, device=device)
        params = bank.neutral.to(images).repeat(n, rules.max_length, 1)
        return cls(rules, images, used, step, sequences, params)

    def restart(self, lanes: Tensor, images: Tensor) -> None:
        """Begin anew in some lanes, (m,) int64, with ``images`` (m, 3, H, W).

        The state's own images are written to. They may be the scenes' inputs themselves where no module has run, whose
        rows the environment replaces by the same ``images``.
        """
        self.images.index_copy_(0, lanes, images)
        self.used[lanes] = False
        self.step[lanes] = 0
        self.sequences[lanes] = self.rules.bank.end_token
        self.params[lanes] = self.rules.bank.neutral.to(self.params)

    def observe(self, lanes: Tensor | slice = slice(None)) -> dict[str, Tensor]:
        """The observation of ``lanes``, by default of all, as fresh tensors."""
        used, step = self.used[lanes].to(torch.int8), self.step[lanes].clone()
        return {"image": self.images[lanes].clamp(0, 1), "used": used, "step": step}

    def token_mask(self) -> Tensor:
        """Which tokens may be chosen, (n, K + 1) bool."""
        return self.rules.allowed(self.used)

    @property
    def lengths(self) -> Tensor:
        """Modules so far, (n,) int64."""
        return (self.sequences != self.rules.bank.end_token).sum(1)

    def admit(self, tokens: Tensor) -> Tensor:
        """The tokens with those that may not be chosen replaced by the end token, which changes no image."""
        return tokens.where(self.token_mask().gather(1, tokens[:, None])[:, 0], self.rules.bank.end_token)

    def record(self, tokens: Tensor, params: Tensor, images: Tensor) -> None:
        """Note that admitted ``tokens`` (n,) with ``params`` (n, P) made ``images``."""
        bank, length = self.rules.bank, self.sequences.shape[1]
        chosen = tokens[:, None] == torch.arange(bank.num_modules, device=tokens.device)
        # Where the end token was taken, the place after the last module is written to as it is.
        here = (self.lengths[:, None] == torch.arange(length, device=tokens.device)) & chosen.any(1, keepdim=True)
        self.sequences = torch.where(here, tokens[:, None], self.sequences)
        self.params = torch.where(here[:, :, None], params[:, None], self.params)
        self.images = images
        self.used = self.used | chosen
        self.step = self.step + 1
