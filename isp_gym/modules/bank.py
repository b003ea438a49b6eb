"""A bank: modules in token order, applied to a batch of images by a batch of pipelines."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from isp_gym.errors import unknown
from isp_gym.modules import (
    ccm,
    contrast,
    denoise,
    desaturation,
    exposure,
    gamma,
    saturation,
    sharpen,
    tone,
    white_balance,
)
from isp_gym.modules.base import Module

# Token order, which released policies rely on. A new module is one line here.
_FILES = (
    exposure,
    gamma,
    ccm,
    sharpen,
    denoise,
    tone,
    contrast,
    saturation,
    desaturation,
    white_balance,
)
BANKS: dict[str, tuple[Module, ...]] = {
    "reference": tuple(file.REFERENCE for file in _FILES),
    "stable": tuple(file.STABLE for file in _FILES),
}
MODULE_NAMES = tuple(module.name for module in BANKS["reference"])


def get_bank(name: str, modules: Iterable[str] | None = None) -> "Bank":
    """Returns a bank by name.

    Args:
        name: One of ``BANKS``.
        modules: Names of the modules to keep, in token order; all of them by default.

    Raises:
        UserError: If the bank or a module is unknown.
    """
    if name not in BANKS:
        raise unknown("bank", name, BANKS)
    table = {module.name: module for module in BANKS[name]}
    chosen = tuple(table if modules is None else modules)
    for module in chosen:
        if module not in table:
            raise unknown("module", module, table)
    return Bank(name, tuple(table[module] for module in chosen))


class Bank:
    """Applies per-image sequences of modules with per-image parameters; differentiable in images and parameters.

    Attributes:
        name: Name of the bank.
        modules: The modules in token order.
        names: Their names.
        num_modules: K, their number.
        num_params: P, the length of the parameter vector.
        end_token: K, which ends a sequence.
        slices: Where each module's parameters stand in the parameter vector.
        neutral: (P,) float32, the normalised parameters that change an image least.
    """

    def __init__(self, name: str, modules: Sequence[Module]):
        self.name = name
        self.modules = tuple(modules)
        self.names = tuple(module.name for module in self.modules)
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"a bank holds each module once, got {self.names}")
        self.num_modules = self.end_token = len(self.modules)
        self._sizes = [len(module.parameters) for module in self.modules]
        self.num_params = sum(self._sizes)
        ends = [sum(self._sizes[: k + 1]) for k in range(self.num_modules)]
        self.slices = tuple(slice(end - size, end) for end, size in zip(ends, self._sizes, strict=True))
        self.neutral = torch.tensor([p.normalised_neutral for module in self.modules for p in module.parameters])

    def __repr__(self) -> str:
        return f"Bank({self.name!r}, {', '.join(self.names)})"

    def __call__(self, images: Tensor, sequences: Tensor, params: Tensor) -> Tensor:
        """Applies one pipeline to each image.

        Args:
            images: (B, 3, H, W) floating point, linear RGB.
            sequences: (B, L) int64 tokens; what follows the first end token of a row is ignored.
            params: (B, P) normalised parameters in [0, 1].

        Returns:
            (B, 3, H, W), images in the dtype of ``images``.

        Raises:
            ValueError: If a shape does not fit, a token is unknown, or a parameter is not in [0, 1].
        """
        if sequences.ndim != 2:
            raise ValueError(f"sequences must have shape (B, L), got {tuple(sequences.shape)}")
        self._check(images, len(sequences), params)
        return self._run(images, [self._program(row) for row in sequences.tolist()], params)

    def step(self, images: Tensor, tokens: Tensor, params: Tensor) -> Tensor:
        """Applies one module to each image; an image whose token is ``end_token`` passes unchanged.

        Args:
            images: (B, 3, H, W).
            tokens: (B,) int64.
            params: (B, P) normalised parameters in [0, 1].

        Returns:
            (B, 3, H, W).

        Raises:
            ValueError: As for a call.
        """
        if tokens.ndim != 1:
            raise ValueError(f"tokens must have shape (B,), got {tuple(tokens.shape)}")
        return self(images, tokens[:, None], params)

    def physical(self, params: Tensor) -> Tensor:
        """Maps normalised parameters (..., P) to physical units (..., P)."""
        parts = params.split(self._sizes, dim=-1)
        return torch.cat([module.physical(part) for module, part in zip(self.modules, parts, strict=True)], -1)

    def describe(self, sequence: Tensor, params: Tensor) -> list[str]:
        """Says in words what one sequence (L,) with one parameter vector (P,) does, a line a module."""
        values = self.physical(params.detach().float()).tolist()
        return [_words(self.modules[token], values[self.slices[token]]) for token in self._program(sequence.tolist())]

    def typed_mask(self, used: Tensor) -> Tensor:
        """Next tokens that the domains of light allow.

        Light starts linear. A module that gives display light leaves it so, and what needs linear light may not
        follow; what needs display light waits for it (unless the bank holds nothing that makes it).

        Args:
            used: (B, K) bool, the modules applied so far.

        Returns:
            (B, K + 1) bool; the end token is always allowed.
        """

        def flags(values: Iterable[bool]) -> Tensor:
            return torch.tensor(list(values), dtype=torch.bool, device=used.device)

        makers = flags(m.gives == "display" and m.needs != "display" for m in self.modules)
        display = (used & flags(m.gives == "display" for m in self.modules)).any(1, keepdim=True)
        linear = flags(m.needs != "display" for m in self.modules) | ~makers.any()
        allowed = torch.where(display, flags(m.needs != "linear" for m in self.modules), linear)
        return torch.cat([allowed, torch.ones_like(display)], 1)

    def table(self) -> list[dict[str, Any]]:
        """Everything the modules declare, a JSON-able row a module."""
        return [
            {
                "token": token,
                "name": module.name,
                "parameters": [
                    {
                        "name": p.name,
                        "unit": p.unit,
                        "low": p.low,
                        "high": p.high,
                        "scale": "log" if p.log else "linear",
                        "neutral": p.neutral,
                        "normalised_neutral": p.normalised_neutral,
                    }
                    for p in module.parameters
                ],
                "input": module.needs,
                "output": module.gives,
                "clamps": module.clamps,
                "formula": module.formula,
                "reference": module.reference,
            }
            for token, module in enumerate(self.modules)
        ]

    def _check(self, images: Tensor, sequences: int, params: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(
                f"images must be floating point of shape (B, 3, H, W), got {images.dtype} {tuple(images.shape)}"
            )
        if params.ndim != 2 or params.shape[1] != self.num_params:
            raise ValueError(f"params must have shape (B, {self.num_params}), got {tuple(params.shape)}")
        if not len(images) == sequences == len(params):
            raise ValueError(
                f"batch sizes differ: {len(images)} images, {sequences} sequences, {len(params)} rows of params"
            )
        # On an accelerator reading the answer would wait for the queue; there the caller answers for the values.
        if params.device.type == "cpu" and not bool(((params >= 0) & (params <= 1)).all()):
            raise ValueError("params must be finite and lie in [0, 1]")

    def _program(self, row: list[int]) -> list[int]:
        """The tokens of a row up to its first end token."""
        for token in row:
            if not 0 <= token <= self.end_token:
                raise ValueError(f"token {token} is not in 0..{self.end_token} (the end token)")
        return row[: row.index(self.end_token)] if self.end_token in row else row

    def _run(self, images: Tensor, programs: list[list[int]], params: Tensor) -> Tensor:
        columns = params.to(images.dtype).split(self._sizes, dim=1)
        for step in range(max(map(len, programs), default=0)):
            groups: dict[int, list[int]] = {}
            for row, program in enumerate(programs):
                if step < len(program):
                    groups.setdefault(program[step], []).append(row)
            for token, rows in groups.items():
                module = self.modules[token]
                if len(rows) == len(images):
                    images = module.apply(images, module.physical(columns[token]))
                    continue
                index = torch.tensor(rows, device=images.device)
                done = module.apply(images[index], module.physical(columns[token][index]))
                images = images.index_copy(0, index, done)
        return images


def _words(module: Module, values: Sequence[float]) -> str:
    if len(values) == 1:
        unit = module.parameters[0].unit
        number = f"{values[0]:+.2f}" if module.parameters[0].low < 0 else f"{values[0]:.3g}"
        return f"{module.name} {number} {unit}".rstrip()
    return " ".join([module.name, *(f"{p.name} {v:.2f}" for p, v in zip(module.parameters, values, strict=True))])
