"""Pipelines under construction: which modules may come next, and what has been done so far."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isp_gym.modules import Bank


def allowed_tokens(bank: Bank, used: Tensor, typed: bool) -> Tensor:
    """Which tokens may come next.

    Args:
        bank: The ISP modules.
        used: Modules used so far, (n, K) bool.
        typed: Whether modules must also find the domain of light that they need (:meth:`Bank.typed_mask`).

    Returns:
        (n, K + 1) bool; the end token is always allowed.
    """
    allowed = torch.cat([~used, torch.ones_like(used[:, :1])], 1)
    return allowed & bank.typed_mask(used) if typed else allowed


def legal_sequences(bank: Bank, sequences: Tensor, typed: bool) -> Tensor:
    """Leave out what may not come where it stands (a module used before; with ``typed``, one in the wrong light).

    Args:
        bank: The ISP modules.
        sequences: (n, L) int64 tokens; what follows the first end token of a row is ignored.
        typed: As in :func:`allowed_tokens`.

    Returns:
        (n, L) int64 without gaps, padded with the end token.
    """
    end, tokens = bank.end_token, torch.arange(bank.num_modules, device=sequences.device)
    used = torch.zeros(len(sequences), bank.num_modules, dtype=torch.bool, device=sequences.device)
    alive = (sequences != end).cumprod(1).bool()
    kept = torch.empty_like(alive)
    for position, token in enumerate(sequences.unbind(1)):
        allowed = allowed_tokens(bank, used, typed).gather(1, token[:, None])[:, 0]
        kept[:, position] = allowed & alive[:, position]
        used = used | ((token[:, None] == tokens) & kept[:, position, None])
    order = (~kept).int().argsort(dim=1, stable=True)
    return sequences.masked_fill(~kept, end).gather(1, order)


@dataclass
class PipelineState:
    """Pipelines under construction, one a lane.

    Attributes:
        bank: The ISP modules.
        typed: Whether the order of modules is restricted, as in :func:`allowed_tokens`.
        images: Images so far, (n, 3, H, W), unclipped.
        used: Modules used so far, (n, K) bool.
        step: Actions taken so far, (n,) int64.
        sequences: Modules in order of use, (n, L) int64, padded with the end token.
        params: Normalised parameters of the used modules, (n, P); the others are neutral.
    """

    bank: Bank
    typed: bool
    images: Tensor
    used: Tensor
    step: Tensor
    sequences: Tensor
    params: Tensor

    @classmethod
    def start(cls, images: Tensor, bank: Bank, max_length: int, typed: bool = False) -> PipelineState:
        """Nothing done yet to ``images`` (n, 3, H, W)."""
        n, device = len(images), images.device
        used = torch.zeros(n, bank.num_modules, dtype=torch.bool, device=device)
        step = torch.zeros(n, dtype=torch.int64, device=device)
        sequences = torch.full((n, max_length), bank.end_token, device=device)
        return cls(bank, typed, images, used, step, sequences, bank.neutral.to(images).repeat(n, 1))

    def restart(self, lanes: Tensor, images: Tensor) -> None:
        """Begin anew in some lanes, (m,) int64, with ``images`` (m, 3, H, W).

        The state's own images are written to. They may be the scenes' inputs themselves where no module has run, whose
        rows the environment replaces by the same ``images``.
        """
        self.images.index_copy_(0, lanes, images)
        self.used[lanes] = False
        self.step[lanes] = 0
        self.sequences[lanes] = self.bank.end_token
        self.params[lanes] = self.bank.neutral.to(self.params)

    def observe(self, lanes: Tensor | slice = slice(None)) -> dict[str, Tensor]:
        """The observation of ``lanes``, by default of all, as fresh tensors."""
        used, step = self.used[lanes].to(torch.int8), self.step[lanes].clone()
        return {"image": self.images[lanes].clamp(0, 1), "used": used, "step": step}

    def token_mask(self) -> Tensor:
        """Which tokens may be chosen, (n, K + 1) bool."""
        return allowed_tokens(self.bank, self.used, self.typed)

    def admit(self, tokens: Tensor) -> Tensor:
        """The tokens with those that may not be chosen replaced by the end token, which changes no image."""
        return tokens.where(self.token_mask().gather(1, tokens[:, None])[:, 0], self.bank.end_token)

    def record(self, tokens: Tensor, params: Tensor, images: Tensor) -> None:
        """Note that admitted ``tokens`` (n,) with ``params`` (n, P) made ``images``."""
        chosen = tokens[:, None] == torch.arange(self.bank.num_modules, device=tokens.device)
        place = self.used.sum(1).clamp_max(self.sequences.shape[1] - 1)[:, None]
        self.sequences.scatter_(
            1, place, self.sequences.gather(1, place).where(~chosen.any(1)[:, None], tokens[:, None])
        )
        sizes = [span.stop - span.start for span in self.bank.slices]
        mine = chosen.repeat_interleave(torch.tensor(sizes, device=chosen.device), dim=1)
        self.params = params.where(mine, self.params)
        self.images = images
        self.used = self.used | chosen
        self.step = self.step + 1
