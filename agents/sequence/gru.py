"""The sequence predictor of POS-ISP: a recurrent policy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agents.sequence.policy import Mask, SequencePolicy, each_once


class GRUPolicy(SequencePolicy):
    """A GRU over the tokens so far (arXiv 2604.06938, Sec. 3).

    The published network reads tokens with a bidirectional GRU that is fed one token at a time, which makes it two
    independent GRUs side by side. A step embedding modulates their state (FiLM, Perez et al. 2018) before the decoder.

    Args:
        num_modules: As in :class:`SequencePolicy`.
        max_length: Likewise.
        mask: Likewise.
        hidden: Width of token embedding and of each GRU.
    """

    def __init__(self, num_modules: int, max_length: int, mask: Mask = each_once, hidden: int = 64) -> None:
        super().__init__(num_modules, max_length, mask)
        self.token_embed = nn.Embedding(num_modules + 2, hidden)
        self.step_embed = nn.Embedding(max_length + 1, 16)
        self.gru = nn.GRU(hidden, hidden, bidirectional=True)
        self.film = nn.Linear(16, 4 * hidden)
        self.decoder = nn.Linear(2 * hidden, num_modules + 1)

    def logits(self, tokens: Tensor, step: int, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """See :meth:`SequencePolicy.logits`; the state is that of the GRUs, (2, B, hidden)."""
        out, state = self.gru(self.token_embed(tokens)[None], state)
        scale, shift = torch.tanh(self.film(self.step_embed.weight[step])).chunk(2)
        return self.decoder(out[0] * (1 + scale) + shift), state
