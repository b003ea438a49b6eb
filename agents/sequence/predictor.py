"""The parameter predictor of POS-ISP: a small CNN that reads all module parameters off the image."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_INPUT_SIZE = 64


class ParameterPredictor(nn.Module):
    """Image -> normalised parameters of every module of the bank (arXiv 2604.06938, Sec. 3).

    The image is average-pooled to 64x64; five stride-2 convolutions; average and maximum over the remaining pixels; a
    head of four linear layers; ``(tanh(z) + 1) / 2``. It costs 13.4 M multiply-adds whatever the size of the image.
    The published network sees the linear image. Dark RAW then gives it inputs near zero; ours sees ``x ** (1 / 2.2)``.

    Args:
        num_params: P, parameters of the bank.
        neutral: Normalised parameters to start from, (P,), usually ``bank.neutral``; ``None`` leaves the last layer at
            its random initial values. A predictor that starts at the modules' identities starts from the input image,
            not from the arbitrary image in the middle of every range.
        linear_input: See the linear image, as published.
        width: Channels of the first convolution; 32 as published (0.53 M parameters), 13 gives less than 0.1 M.
        condition_on: K, the modules of the bank, if the sequence is an input as well (as the paper discusses); 0 if
            parameters depend on the image only.
    """

    def __init__(
        self,
        num_params: int,
        neutral: Tensor | None = None,
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
        if neutral is not None:
            self._start_at(neutral)

    @torch.no_grad()
    def _start_at(self, neutral: Tensor) -> None:
        # The ends of the range are at infinite z: start a little inside, where tanh still has a gradient.
        self.out.bias.copy_(torch.atanh(2 * neutral.clamp(0.02, 0.98) - 1))
        self.out.weight.mul_(0.1)

    def forward(self, images: Tensor, sequences: Tensor | None = None) -> Tensor:
        """Predict parameters in [0, 1], (B, P), for one sequence an image (B, L), or none; see :meth:`scores`."""
        rows = torch.arange(len(images), device=images.device)
        return squash(self.scores(images, rows.new_empty(len(rows), 0) if sequences is None else sequences, rows))

    def scores(self, images: Tensor, sequences: Tensor, rows: Tensor) -> Tensor:
        """The parameters before they are squashed into [0, 1].

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
        pooled = torch.cat([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))], dim=1)
        z = self.fc1(pooled)
        if self.condition_on:
            return self._head(z[rows] + self.read_order(order_matrix(sequences, self.condition_on)))
        return self._head(z)[rows]

    def _head(self, z: Tensor) -> Tensor:
        return self.out(F.leaky_relu(self.hidden(self.fc2(F.relu(z))), 0.2))


def order_matrix(sequences: Tensor, num_modules: int) -> Tensor:
    """A sequence as a network reads it: which modules it has, and which comes before which.

    Args:
        sequences: (B, L) int64 tokens, padded with the end token ``num_modules``.
        num_modules: K.

    Returns:
        (B, K * K) float32: at (i, i) how often module i is used; 1 at (i, j) where a use of i comes before one of j.
    """
    modules = torch.arange(num_modules, device=sequences.device)
    uses = (sequences[:, :, None] == modules).float()
    earlier = (uses.cumsum(1) - uses > 0).float()
    before = (earlier.transpose(1, 2) @ uses > 0).float()
    before.diagonal(dim1=1, dim2=2).copy_(uses.sum(1))
    return before.flatten(1)


def squash(scores: Tensor) -> Tensor:
    """``(tanh(z) + 1) / 2``: unbounded scores -> [0, 1]."""
    return (torch.tanh(scores) + 1) / 2
