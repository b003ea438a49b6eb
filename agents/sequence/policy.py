"""The sequence predictor of POS-ISP: a recurrent policy over module sequences, the same for every image."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Sampled(NamedTuple):
    """Sampled sequences (B, L) int64, padded with the end token; their log-probability and entropy estimate, (B,)."""

    sequences: Tensor
    log_probs: Tensor
    entropies: Tensor


class SequencePolicy(nn.Module):
    """A GRU that emits one module a step, each module at most once, until the end token (arXiv 2604.06938, Sec. 3).

    The published network reads tokens with a bidirectional GRU that is fed one token at a time, which makes it two
    independent GRUs side by side. A step embedding modulates their state (FiLM, Perez et al. 2018) before the decoder.

    Args:
        num_modules: K; tokens 0..K-1 are modules, K ends the sequence, K + 1 starts it.
        max_length: L, the longest sequence.
        hidden: Width of token embedding and of each GRU.
    """

    def __init__(self, num_modules: int, max_length: int, hidden: int = 64) -> None:
        super().__init__()
        self.num_modules, self.max_length = num_modules, max_length
        self.end_token, self.start_token = num_modules, num_modules + 1
        self.token_embed = nn.Embedding(num_modules + 2, hidden)
        self.step_embed = nn.Embedding(max_length + 1, 16)
        self.gru = nn.GRU(hidden, hidden, bidirectional=True)
        self.film = nn.Linear(16, 4 * hidden)
        self.decoder = nn.Linear(2 * hidden, num_modules + 1)

    def _logits(self, tokens: Tensor, step: int, state: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits (B, K + 1) of the next token after ``tokens`` (B,), and the new recurrent state."""
        out, state = self.gru(self.token_embed(tokens)[None], state)
        scale, shift = torch.tanh(self.film(self.step_embed.weight[step])).chunk(2)
        return self.decoder(out[0] * (1 + scale) + shift), state

    def _decode(self, count: int, temperature: float, forced: Tensor | None, greedy: bool = False) -> Sampled:
        """Decode ``count`` sequences at once: sample them, take the likeliest token, or follow ``forced`` ones."""
        device = self.decoder.weight.device
        tokens = torch.full((count,), self.start_token, device=device)
        used = torch.zeros(count, self.num_modules + 1, dtype=torch.bool, device=device)
        ended = torch.zeros(count, dtype=torch.bool, device=device)
        log_probs, entropies = torch.zeros(count, device=device), torch.zeros(count, device=device)
        state, chosen = None, []
        for step in range(self.max_length):
            logits, state = self._logits(tokens, step, state)
            log_p = (logits / temperature).masked_fill(used, -torch.inf).log_softmax(1)
            if forced is not None:
                tokens = forced[:, step]
            else:
                tokens = log_p.argmax(1) if greedy else torch.multinomial(log_p.detach().exp(), 1)[:, 0]
            tokens = tokens.masked_fill(ended, self.end_token)
            step_log_p = log_p.gather(1, tokens[:, None])[:, 0]
            entropy = -(log_p.exp() * log_p.masked_fill(used, 0.0)).sum(1)
            log_probs = log_probs + step_log_p.masked_fill(ended, 0.0)
            entropies = entropies + entropy.masked_fill(ended, 0.0)
            ended = ended | (tokens == self.end_token)
            used = used.scatter(1, tokens[:, None], True)
            used[:, self.end_token] = False  # the end is always allowed
            chosen.append(tokens)
        return Sampled(torch.stack(chosen, 1), log_probs, entropies)

    def sample(self, count: int, temperature: float = 1.0) -> Sampled:
        """Draw ``count`` sequences, differentiable in their log-probabilities and entropies."""
        return self._decode(count, temperature, None)

    def evaluate(self, sequences: Tensor, temperature: float = 1.0) -> Sampled:
        """Log-probabilities of given sequences, (B, L), padded with the end token."""
        return self._decode(len(sequences), temperature, sequences)

    @torch.no_grad()
    def greedy(self) -> Tensor:
        """The sequence of likeliest tokens, (L,), padded with the end token."""
        return self._decode(1, 1.0, None, greedy=True).sequences[0]
