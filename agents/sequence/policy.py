"""Policies over module sequences, the same for every image."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

Mask = Callable[[Tensor], Tensor]
"""Modules used so far, (n, K) bool -> tokens that may come next, (n, K + 1) bool; the last one ends the sequence."""


class Sampled(NamedTuple):
    """Sampled sequences (B, L) int64, padded with the end token; their log-probability and entropy estimate, (B,)."""

    sequences: Tensor
    log_probs: Tensor
    entropies: Tensor


def each_once(used: Tensor) -> Tensor:
    """Allow each module at most once, in any order, as POS-ISP does; the end is always allowed."""
    return torch.cat([~used, torch.ones_like(used[:, :1])], 1)


class SequencePolicy(nn.Module, ABC):
    """Base of policies that emit one module per step until the end token, or ``max_length`` modules; in batches.

    Args:
        num_modules: K; tokens 0..K-1 are modules, K ends the sequence, K + 1 starts it.
        max_length: L, the longest sequence.
        mask: What may come next.

    Example:
        >>> from agents.sequence.networks import TablePolicy
        >>> policy = TablePolicy(num_modules=2, max_length=2)  # its logits are zero at the start
        >>> policy.sample(5).sequences.shape
        torch.Size([5, 2])
        >>> policy.evaluate(torch.tensor([[2, 2], [0, 1]])).log_probs.exp().mul(6).round().tolist()
        [2.0, 1.0]
    """

    def __init__(self, num_modules: int, max_length: int, mask: Mask = each_once) -> None:
        super().__init__()
        self.num_modules, self.max_length, self.mask = num_modules, max_length, mask
        self.end_token, self.start_token = num_modules, num_modules + 1
        self._greedy: tuple[_Versions, Tensor] | None = None

    @abstractmethod
    def logits(self, tokens: Tensor, step: int, state: Any) -> tuple[Tensor, Any]:
        """Return the logits of the next token.

        Args:
            tokens: The token before, (B,).
            step: How many came before, 0 to L - 1.
            state: What this has returned a step earlier; ``None`` at first.

        Returns:
            Logits (B, K + 1), and the state for the next step.
        """

    def _decode(self, count: int, temperature: float, forced: Tensor | None, greedy: bool = False) -> Sampled:
        """Decode ``count`` sequences: sample each token, take the likeliest, or follow ``forced`` sequences (B, L)."""
        device = next(self.parameters()).device
        tokens = torch.full((count,), self.start_token, device=device)
        used = torch.zeros(count, self.num_modules + 1, dtype=torch.bool, device=device)
        ended = torch.zeros(count, dtype=torch.bool, device=device)
        log_probs, entropies = torch.zeros(count, device=device), torch.zeros(count, device=device)
        state, chosen = None, []
        for step in range(self.max_length):
            closed = ~self.mask(used[:, :-1])
            logits, state = self.logits(tokens, step, state)
            log_p = (logits / temperature).masked_fill(closed, -torch.inf).log_softmax(1)
            if forced is not None:
                tokens = forced[:, step]
            else:
                tokens = log_p.argmax(1) if greedy else torch.multinomial(log_p.detach().exp(), 1)[:, 0]
            tokens = tokens.masked_fill(ended, self.end_token)
            step_log_p = log_p.gather(1, tokens[:, None])[:, 0]
            entropy = -(log_p.exp() * log_p.masked_fill(closed, 0.0)).sum(1)
            log_probs = log_probs + step_log_p.masked_fill(ended, 0.0)
            entropies = entropies + entropy.masked_fill(ended, 0.0)
            ended = ended | (tokens == self.end_token)
            used = used.scatter(1, tokens[:, None], True)
            chosen.append(tokens)
        return Sampled(torch.stack(chosen, 1), log_probs, entropies)

    def sample(self, count: int, temperature: float = 1.0) -> Sampled:
        """Sample ``count`` sequences, differentiable in their log-probabilities and entropies."""
        return self._decode(count, temperature, None)

    def evaluate(self, sequences: Tensor, temperature: float = 1.0) -> Sampled:
        """Return the log-probabilities and entropies of given sequences, (B, L), padded with the end token."""
        return self._decode(len(sequences), temperature, sequences)

    @torch.no_grad()
    def greedy(self) -> Tensor:
        """Return the sequence of likeliest tokens, (L,) int64, padded with the end token.

        It is decoded once, and again when a parameter has changed (a write through ``parameter.data`` goes unseen).
        """
        versions = _versions(self)
        if self._greedy is not None and versions is not None:
            known, sequence = self._greedy
            if all(a[0] is b[0] and a[1:] == b[1:] for a, b in zip(known, versions, strict=True)):
                return sequence.clone()
        sequence = self._decode(1, 1.0, None, greedy=True).sequences[0]
        self._greedy = None if versions is None else (versions, sequence)
        return sequence.clone()


_Versions = list[tuple[Tensor, int, torch.device, int]]


def _versions(policy: SequencePolicy) -> _Versions | None:
    """Return what changes when a parameter is replaced, moved or written to; ``None`` where torch keeps no count."""
    parameters = list(policy.parameters())
    if any(parameter.is_inference() for parameter in parameters):
        return None
    # ``Module.to`` puts other memory into the same parameter; the tensor is held, so that no other takes its place.
    return [(p, p._version, p.device, p.untyped_storage()._cdata) for p in parameters]
