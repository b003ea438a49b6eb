"""Sequence policies without a network: tables of logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from agents.sequence.policy import Mask, SequencePolicy, each_once


class TablePolicy(SequencePolicy):
    """One logit for each step and token: the probability table of the paper's ablation (arXiv 2604.06938, Tab. 5).

    What comes next depends on how many modules came before, not on which (but that none comes twice).
    """

    def __init__(self, num_modules: int, max_length: int, mask: Mask = each_once) -> None:
        super().__init__(num_modules, max_length, mask)
        self.table = nn.Parameter(torch.zeros(max_length, num_modules + 1))

    def logits(self, tokens: Tensor, step: int, state: None) -> tuple[Tensor, None]:
        """See :meth:`SequencePolicy.logits`."""
        return self.table[step].expand(len(tokens), -1), None


class MarkovPolicy(TablePolicy):
    """The table plus one logit for each pair of a token and its predecessor: order is what a pipeline is about."""

    def __init__(self, num_modules: int, max_length: int, mask: Mask = each_once) -> None:
        super().__init__(num_modules, max_length, mask)
        self.follows = nn.Parameter(torch.zeros(num_modules + 2, num_modules + 1))

    def logits(self, tokens: Tensor, step: int, state: None) -> tuple[Tensor, None]:
        """See :meth:`SequencePolicy.logits`."""
        return self.table[step] + self.follows[tokens], None
