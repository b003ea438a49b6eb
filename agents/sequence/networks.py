"""The networks of POS-ISP: policies over module sequences, and the predictor of the modules' parameters."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.sequence.policy import Mask, SequencePolicy, each_once

_INPUT_SIZE = 64


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


class TablePolicy(SequencePolicy):
    """One logit for each step and token: the probability table of the paper's ablation (arXiv 2604.06938, Tab. 5).

    The next token depends on how many modules came before, not on which (but for the mask).
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


POLICIES: dict[str, type[SequencePolicy]] = {"gru": GRUPolicy, "table": TablePolicy, "markov": MarkovPolicy}


class ParameterPredictor(nn.Module):
    """Predict the normalised parameters of every module of the bank from an image (arXiv 2604.06938, Sec. 3).

    The image is average-pooled to 64x64; five stride-2 convolutions; average and maximum over the remaining pixels; a
    head of four linear layers; ``(tanh(z) + 1) / 2``. It costs 13.4 M multiply-adds whatever the size of the image.
    The published network sees the linear image. Dark RAW then gives it inputs near zero; ours sees ``x ** (1 / 2.2)``.

    Args:
        num_params: P, parameters of the bank.
        initial: Normalised parameters to start from, (P,): ``bank.neutral`` is the identity initialisation, with which
            training starts from the input image, and not from the arbitrary image in the middle of every range.
            ``None`` leaves the last layer at its random initial values.
        linear_input: See the linear image, as published.
        width: Channels of the first convolution; 32 as published (0.53 M parameters), 13 gives less than 0.1 M.
        condition_on: K, the modules of the bank, if the sequence is an input as well (as the paper discusses); 0 if
            parameters depend on the image only.

    Example:
        >>> predictor = ParameterPredictor(num_params=27)
        >>> predictor(torch.rand(2, 3, 48, 64)).shape
        torch.Size([2, 27])
    """

    def __init__(
        self,
        num_params: int,
        initial: Tensor | None = None,
        linear_input: bool = False,
        width: int = 32,
        condition_on: int = 0,
    ) -> None:
        super().__init__()
        self.linear_input, self.condition_on = linear_input, condition_on
        channels = [3, width, 2 * width, 4 * width, 4 * width, 4 * width]
        self.convs = nn.ModuleList(nn.Conv2d(c_in, c_out, 3, stride=2, padding=1) for c_in, c_out in pairwise(channels))
        features = 2 * channels[-1]
        self.fc1 = nn.Linear(features, features)
        if condition_on:
            self.read_order = nn.Linear(condition_on**2, features, bias=False)
        self.fc2 = nn.Linear(features, features // 2)
        self.hidden = nn.Linear(features // 2, features)
        self.out = nn.Linear(features, num_params)
        if initial is not None:
            with torch.no_grad():
                # The ends of the range are at infinite z: start a little inside, where tanh still has a gradient.
                self.out.bias.copy_(torch.atanh(2 * initial.clamp(0.02, 0.98) - 1))
                self.out.weight.mul_(0.1)

    def forward(self, images: Tensor, sequences: Tensor | None = None) -> Tensor:
        """Predict parameters in [0, 1], (B, P), for one sequence per image (B, L), or none; see :meth:`pretanh`."""
        rows = torch.arange(len(images), device=images.device)
        return squash(self.pretanh(images, rows.new_empty(len(rows), 0) if sequences is None else sequences, rows))

    def pretanh(self, images: Tensor, sequences: Tensor, rows: Tensor) -> Tensor:
        """Return the outputs before tanh squashes them into [0, 1].

        Args:
            images: Linear RGB, (B, 3, H, W) of any size and floating-point type.
            sequences: (M, L) tokens; read only by a conditioned predictor.
            rows: The image that each sequence is for, (M,) int64.

        Returns:
            (M, P), unbounded.
        """
        x = F.adaptive_avg_pool2d(images.to(self.out.weight.dtype), _INPUT_SIZE)
        if not self.linear_input:
            x = x.clamp_min(1e-6) ** (1 / 2.2)
        for conv in self.convs:
            x = F.leaky_relu(conv(x), 0.2)
        z = self.fc1(torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1))
        if self.condition_on:
            z = z[rows] + self.read_order(order_matrix(sequences, self.condition_on))
        out = self.out(F.leaky_relu(self.hidden(self.fc2(F.relu(z))), 0.2))
        return out if self.condition_on else out[rows]


def order_matrix(sequences: Tensor, num_modules: int) -> Tensor:
    """Encode sequences for a network: which modules they have, and which comes before which.

    Args:
        sequences: (B, L) int64 tokens, padded with the end token ``num_modules``.
        num_modules: K.

    Returns:
        (B, K * K) float32: at (i, i) how often module i is used; 1 at (i, j) where a use of i comes before one of j.

    Example:
        >>> order_matrix(torch.tensor([[1, 0]]), num_modules=2).reshape(2, 2).tolist()
        [[1.0, 0.0], [1.0, 1.0]]
    """
    modules = torch.arange(num_modules, device=sequences.device)
    uses = (sequences[:, :, None] == modules).float()
    earlier = (uses.cumsum(1) - uses > 0).float()
    before = (earlier.transpose(1, 2) @ uses > 0).float()
    before.diagonal(dim1=1, dim2=2).copy_(uses.sum(1))
    return before.flatten(1)


def squash(pretanh: Tensor) -> Tensor:
    """Map unbounded outputs into [0, 1]: ``(tanh(z) + 1) / 2``.

    Example:
        >>> squash(torch.tensor([-100.0, 0.0, 100.0])).tolist()
        [0.0, 0.5, 1.0]
    """
    return (torch.tanh(pretanh) + 1) / 2
