"""A bank: modules in token order, applied to a batch of images by a batch of pipelines."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from isp_gym.modules.base import Module
from isp_gym.modules.fingerprint import fingerprint

Place = tuple[int, int]  # an image, and a step of its pipeline


class Bank:
    """Applies per-image sequences of modules with per-image parameters; differentiable in images and parameters.

    Attributes:
        name: Name of the bank.
        modules: The modules in token order.
        names: Their names.
        specs: Their names as :func:`isp_gym.modules.get_bank` takes them, which is what to save; they differ from
            ``names`` for plug-ins only.
        versions: Their versions by name.
        num_modules: K, their number.
        num_params: P, the length of the parameter vector.
        end_token: K, which ends a sequence.
        slices: Where each module's parameters stand in the parameter vector.
        neutral: (P,) float32, the normalised parameters that change an image least.
    """

    def __init__(self, name: str, modules: Sequence[Module], specs: Sequence[str] | None = None):
        self.name = name
        self.modules = tuple(modules)
        self.names = tuple(module.name for module in self.modules)
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"a bank holds each module once, got {self.names}")
        self.specs = self.names if specs is None else tuple(specs)
        self.versions = {module.name: module.version for module in self.modules}
        self.num_modules = self.end_token = len(self.modules)
        self._sizes = [len(module.parameters) for module in self.modules]
        self.num_params = sum(self._sizes)
        ends = [sum(self._sizes[: k + 1]) for k in range(self.num_modules)]
        self.slices = tuple(slice(end - size, end) for end, size in zip(ends, self._sizes, strict=True))
        self.neutral = torch.tensor([p.normalised_neutral for module in self.modules for p in module.parameters])

    def __repr__(self) -> str:
        return f"Bank({self.name!r}, {', '.join(self.names)})"

    def __call__(self, images: Tensor, sequences: Tensor, params: Tensor) -> Tensor:
        """Apply one pipeline to each image.

        Args:
            images: (B, 3, H, W) floating point, linear RGB. Half precision is computed in single precision.
            sequences: (B, L) int64 tokens; what follows the first end token of a row is ignored.
            params: (B, P) normalised parameters in [0, 1], or (B, L, P) with one row per step.

        Returns:
            (B, 3, H, W) in the dtype of ``images``. Image i depends on row i of each argument only. Where
            no module applies at all this is ``images`` itself, not a copy.

        Raises:
            ValueError: If a shape does not fit, a token is unknown, or (on the CPU, where looking is free) a
                parameter is not in [0, 1].

        Example:
            >>> from isp_gym.modules import get_bank
            >>> bank = get_bank("stable", ("exposure", "gamma"))
            >>> sequences = torch.tensor([[0, 1], [1, bank.end_token]])
            >>> bank(torch.rand(2, 3, 16, 16), sequences, torch.full((2, bank.num_params), 0.5)).shape
            torch.Size([2, 3, 16, 16])
        """
        if sequences.ndim != 2 or sequences.is_floating_point():
            raise ValueError(f"sequences must be int64 of shape (B, L), got {_kind(sequences)}")
        self._check(images, sequences, params)
        return self._run(images, [self._program(row) for row in sequences.tolist()], params)

    def step(self, images: Tensor, tokens: Tensor, params: Tensor) -> Tensor:
        """Apply one module to each image; an image whose token is ``end_token`` passes unchanged.

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
            raise ValueError(f"tokens must be int64 of shape (B,), got {_kind(tokens)}")
        return self(images, tokens[:, None], params)

    def physical(self, params: Tensor) -> Tensor:
        """Map normalised parameters (..., P) to physical units (..., P)."""
        parts = params.split(self._sizes, dim=-1)
        return torch.cat([module.physical(part) for module, part in zip(self.modules, parts, strict=True)], -1)

    def describe(self, sequence: Tensor, params: Tensor) -> list[str]:
        """Say in words what a sequence (L,) does with parameters (P,), or (L, P) of each step, one line per module."""
        values = self.physical(params.detach().float().expand(len(sequence), -1)).tolist()
        program = self._program(sequence.tolist())
        return [_words(self.modules[t], row[self.slices[t]]) for t, row in zip(program, values, strict=False)]

    def typed_mask(self, used: Tensor) -> Tensor:
        """Return the next tokens that the modules' input and output domains allow.

        An image starts scene-linear. A module whose output is display-referred leaves it so, and one with scene-linear
        input may not follow; one with display-referred input waits for that (unless nothing in the bank makes it).

        Args:
            used: (B, K) bool, the modules applied so far.

        Returns:
            (B, K + 1) bool; the end token is always allowed.
        """

        def flags(values: Iterable[bool]) -> Tensor:
            return torch.tensor(list(values), dtype=torch.bool, device=used.device)

        makers = flags(m.output_domain == "display" and m.input_domain != "display" for m in self.modules)
        display = (used & flags(m.output_domain == "display" for m in self.modules)).any(1, keepdim=True)
        linear = flags(m.input_domain != "display" for m in self.modules) | ~makers.any()
        allowed = torch.where(display, flags(m.input_domain != "linear" for m in self.modules), linear)
        return torch.cat([allowed, torch.ones_like(display)], 1)

    def fingerprint(self) -> dict[str, dict[str, Any]]:
        """Return what each module does, in a few numbers to record; see :mod:`isp_gym.modules.fingerprint`."""
        return {module.name: fingerprint(module) for module in self.modules}

    def table(self) -> list[dict[str, Any]]:
        """Return all that the modules declare, one JSON-able row per module."""
        return [
            {
                "token": token,
                "name": module.name,
                "version": module.version,
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
                "input": module.input_domain,
                "output": module.output_domain,
                "clamps": module.clamps,
                "formula": module.formula,
                "reference": module.reference,
            }
            for token, module in enumerate(self.modules)
        ]

    def _check(self, images: Tensor, sequences: Tensor, params: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
            raise ValueError(f"images must be floating point of shape (B, 3, H, W), got {_kind(images)}")
        shapes = ((self.num_params,), (sequences.shape[1], self.num_params))
        if params.shape[1:] not in shapes or not params.is_floating_point():
            raise ValueError(
                f"params must be floating point of shape (B, {self.num_params}), or with one row per step "
                f"(B, {sequences.shape[1]}, {self.num_params}), got {_kind(params)}"
            )
        if not len(images) == len(sequences) == len(params):
            raise ValueError(
                f"batch sizes differ: {len(images)} images, {len(sequences)} sequences, {len(params)} rows of params"
            )
        # On an accelerator reading the answer would wait for the queue; there the caller answers for the values.
        if params.device.type == "cpu" and not bool(((params >= 0) & (params <= 1)).all()):
            raise ValueError("params must be finite and lie in [0, 1]")

    def _program(self, row: list[int]) -> list[int]:
        """Return the tokens of a row up to its first end token."""
        for token in row:
            if not 0 <= token <= self.end_token:
                raise ValueError(f"token {token} is not in 0..{self.end_token} (the end token)")
        return row[: row.index(self.end_token)] if self.end_token in row else row

    def _run(self, images: Tensor, programs: list[list[int]], params: Tensor) -> Tensor:
        dtype = images.dtype
        images = images.to(torch.promote_types(dtype, torch.float32))
        params = params.to(images.dtype)
        if params.ndim == 2:
            params = params[:, None].expand(-1, max(map(len, programs), default=0), -1)
        if all(program == programs[0] for program in programs):
            for step, token in enumerate(programs[0] if programs else []):
                module = self.modules[token]
                images = module.apply(images, module.physical(params[:, step, self.slices[token]]))
            return images.to(dtype)
        schedule = list(self._schedule(programs))
        values = self._values(schedule, params)
        rows = list(images.unbind())
        for token, group in schedule:
            done = self.modules[token].apply(torch.stack([rows[row] for row, _ in group]), next(values[token]))
            for (row, _), image in zip(group, done.unbind(), strict=True):
                rows[row] = image
        return torch.stack(rows).to(dtype)

    def _schedule(self, programs: list[list[int]]) -> Iterator[tuple[int, list[Place]]]:
        """Return which module to run on which images, each at which of its steps, one after another.

        Images do not depend on each other, hence need not keep step: the module comes first for which most of the
        images that still need it are there, and a costly one waits until all are.
        """

        def readiness(token: int) -> tuple[bool, float]:
            return not self.modules[token].costly, len(waiting[token]) / needed[token]

        needed = Counter(chain.from_iterable(programs))
        ahead = [enumerate(program) for program in programs]
        waiting: dict[int, list[Place]] = {}
        moved: Iterable[Place] = [(row, 0) for row in range(len(programs))]
        while True:
            for row, _ in moved:
                if (upcoming := next(ahead[row], None)) is not None:
                    step, token = upcoming
                    waiting.setdefault(token, []).append((row, step))
            if not waiting:
                return
            token = max(waiting, key=readiness)
            moved = waiting.pop(token)
            needed[token] -= len(moved)
            yield token, moved

    def _values(self, schedule: list[tuple[int, list[Place]]], params: Tensor) -> dict[int, Iterator[Tensor]]:
        """Return the physical parameters of the groups of each token in turn; one look-up for all, not one a group."""
        groups: dict[int, list[list[Place]]] = {}
        for token, group in schedule:
            groups.setdefault(token, []).append(group)
        places = [list(chain.from_iterable(of_token)) for of_token in groups.values()]
        row, step = torch.tensor(list(chain.from_iterable(places)), device=params.device).unbind(1)
        gathered = params.flatten(0, 1).index_select(0, row * params.shape[1] + step)
        values = {}
        for (token, of_token), part in zip(groups.items(), gathered.split([len(p) for p in places]), strict=True):
            physical = self.modules[token].physical(part[:, self.slices[token]])
            values[token] = iter(physical.split([len(group) for group in of_token]))
        return values


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _words(module: Module, values: Sequence[float]) -> str:
    if len(values) == 1:
        unit = module.parameters[0].unit
        number = f"{values[0]:+.2f}" if module.parameters[0].low < 0 else f"{values[0]:.3g}"
        return f"{module.name} {number} {unit}".rstrip()
    return " ".join([module.name, *(f"{p.name} {v:.2f}" for p, v in zip(module.parameters, values, strict=True))])
