"""Pipelines: the one value that environments, evaluation, rows, replay, oracle and agents hand to each other.

Made once, it is valid: what is scored is what is recorded is what is replayed. Two ways lead to one:
:class:`Pipelines` itself refuses what the rules do not allow, and :meth:`Rules.admit` drops it, which is what the
environments do with an agent's action in training, and the benchmark with an agent's answer at test.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from isp_gym.modules import Bank, get_bank


@dataclass(frozen=True)
class Rules:
    """What a pipeline may be; a property of the problem, not of the agent.

    Attributes:
        bank: The ISP modules, K of them with P parameters.
        max_length: L, the longest pipeline, in modules.
        domain_constrained: Whether modules must also find their input domain (:meth:`Bank.typed_mask`), which a config
            calls ``order: typed``.
        repeats: Whether a module may be used more than once, each time with parameters of its own.
    """

    bank: Bank
    max_length: int
    domain_constrained: bool = False
    repeats: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the rules as values that JSON can hold."""
        return {
            "bank": self.bank.name,
            "modules": list(self.bank.specs),
            "max_length": self.max_length,
            "typed": self.domain_constrained,  # the name in policies that are saved
            "repeats": self.repeats,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Rules:
        """Make the rules that :meth:`to_dict` described; further keys are ignored, a missing one is a ``KeyError``."""
        bank = get_bank(values["bank"], tuple(values["modules"]))
        return cls(bank, int(values["max_length"]), bool(values["typed"]), bool(values["repeats"]))

    def allowed(self, used: Tensor) -> Tensor:
        """Say which tokens may come next.

        Args:
            used: Modules used so far, (n, K) bool.

        Returns:
            (n, K + 1) bool; the end token is always allowed.
        """
        free = torch.ones_like(used) if self.repeats else ~used
        allowed = torch.cat([free, torch.ones_like(used[:, :1])], 1)
        return allowed & self.bank.typed_mask(used) if self.domain_constrained else allowed

    def legal(self, tokens: Tensor) -> Tensor:
        """Mark the steps that may stand where they stand, given the legal ones before it.

        Args:
            tokens: (B, L) int64; what follows the first end token of a row is ignored.

        Returns:
            (B, L) bool: false for illegal steps, and from the end token on.
        """
        modules = torch.arange(self.bank.num_modules, device=tokens.device)
        used = torch.zeros(len(tokens), self.bank.num_modules, dtype=torch.bool, device=tokens.device)
        alive = (tokens != self.bank.end_token).cumprod(1).bool()
        kept = torch.empty_like(alive)
        for step, token in enumerate(tokens.unbind(1)):
            kept[:, step] = self.allowed(used).gather(1, token[:, None])[:, 0] & alive[:, step]
            used = used | ((token[:, None] == modules) & kept[:, step, None])
        return kept

    def admit(self, tokens: Tensor, params: Tensor) -> Pipelines:
        """Make pipelines of what an agent asks for, and drop the steps that the rules do not allow.

        Dropped are a module that was used before (without ``repeats``) and, with ``domain_constrained``, one that does
        not find its input domain. Everything else that is wrong is refused, for it cannot be meant.

        Args:
            tokens: (B, L) int64, padded with the end token.
            params: Normalised, (B, P) for all steps or (B, L, P) with one row per step.

        Returns:
            The pipelines; ``refused`` counts what was dropped from each.

        Raises:
            ValueError: As for :class:`Pipelines`, but for illegal steps.

        Example:
            >>> rules = Rules(get_bank("stable"), max_length=3)
            >>> tokens = torch.tensor([[0, 0, 1]])  # the first module twice
            >>> pipelines = rules.admit(tokens, torch.full((1, rules.bank.num_params), 0.5))
            >>> pipelines.names(0) == rules.bank.names[:2], int(pipelines.refused[0])
            (True, 1)
        """
        tokens, params = _fitted(self, tokens, params)
        kept = self.legal(tokens)
        asked = (tokens != self.bank.end_token).cumprod(1).sum(1)
        order = (~kept).int().argsort(dim=1, stable=True)
        tokens = tokens.masked_fill(~kept, self.bank.end_token).gather(1, order)
        # Where nothing is dropped the order is 0, 1, 2, ...: parameters keep their steps, and no copy is made.
        if bool((order != torch.arange(order.shape[1], device=order.device)).any()):
            params = params.gather(1, order[:, :, None].expand_as(params))
        return _valid(self, tokens, params, asked - kept.sum(1))

    def of_names(self, sequences: Iterable[Sequence[str]], params: Iterable[Sequence[Sequence[float]]]) -> Pipelines:
        """Make pipelines of module names, and of each step its module's own normalised parameters.

        Raises:
            ValueError: A module is unknown, or a step has another number of parameters than its module.

        Example:
            >>> rules = Rules(get_bank("stable"), max_length=3)
            >>> pipelines = rules.of_names([["exposure", "gamma"]], [[[0.75], [0.5]]])
            >>> pipelines.names(0), pipelines.steps(0)
            (('exposure', 'gamma'), [[0.75], [0.5]])
            >>> pipelines(torch.rand(1, 3, 16, 16)).shape
            torch.Size([1, 3, 16, 16])
        """
        bank, rows, values = self.bank, [], []
        for names, steps in zip(sequences, params, strict=True):
            if unknown := [name for name in names if name not in bank.names]:
                raise ValueError(f"bank '{bank.name}' has no module '{unknown[0]}'")
            if len(names) != len(steps) or len(names) > self.max_length:
                raise ValueError(
                    f"{len(steps)} rows of parameters for {len(names)} modules of at most {self.max_length}"
                )
            tokens = [bank.names.index(name) for name in names]
            row = bank.neutral.repeat(self.max_length, 1)
            for step, (token, own) in enumerate(zip(tokens, steps, strict=True)):
                span = bank.slices[token]
                if len(own) != span.stop - span.start:
                    raise ValueError(f"{bank.names[token]} takes {span.stop - span.start} parameters, not {len(own)}")
                if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in own):
                    raise ValueError(f"the parameters of {bank.names[token]} must be numbers, not {list(own)}")
                row[step, span] = torch.tensor([float(value) for value in own])
            rows.append(tokens + [bank.end_token] * (self.max_length - len(tokens)))
            values.append(row)
        tokens_of_all = torch.tensor(rows, dtype=torch.int64).reshape(-1, self.max_length)
        params_of_all = torch.stack(values) if values else torch.zeros(0, self.max_length, bank.num_params)
        return Pipelines(self, tokens_of_all, params_of_all)


@dataclass(frozen=True, eq=False)
class Pipelines:
    """A batch of B valid pipelines.

    Attributes:
        rules: What they obey.
        tokens: Modules in order of use, (B, L) int64, nothing but the end token after the first one. May be given with
            fewer than L columns, or with more where those hold end tokens only.
        params: Normalised parameters in [0, 1] of every step, (B, L, P): step t of pipeline i takes its module's slice
            of ``params[i, t]``. May be given as (B, P), for all steps. Gradients flow into what was given.
        refused: Steps that :meth:`Rules.admit` has dropped from each, (B,) int64.

    Raises:
        ValueError: A shape, type or device does not fit; a token is unknown; a parameter is not in [0, 1]; a pipeline
            is too long, uses a module twice without ``repeats``, or with ``domain_constrained`` where its input domain
            is wrong.
    """

    rules: Rules
    tokens: Tensor
    params: Tensor
    refused: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    def __post_init__(self) -> None:
        rules = self.rules
        tokens, params = _fitted(rules, self.tokens, self.params)
        alive = (tokens != rules.bank.end_token).cumprod(1).bool()
        illegal = alive & ~rules.legal(tokens)
        if bool(illegal.any()):
            row, step = torch.nonzero(illegal)[0].tolist()
            name = rules.bank.names[int(tokens[row, step])]
            raise ValueError(
                f"step {step} of pipeline {row} may not be {name}: {_reason(rules, tokens[row, :step], name)}"
            )
        object.__setattr__(self, "tokens", tokens.masked_fill(~alive, rules.bank.end_token))
        object.__setattr__(self, "params", params)
        if not len(self.refused):
            object.__setattr__(self, "refused", torch.zeros(len(tokens), dtype=torch.int64, device=tokens.device))
        if len(self.refused) != len(tokens):
            raise ValueError(f"{len(self.refused)} counts of refused steps for {len(tokens)} pipelines")

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, rows: Tensor | slice) -> Pipelines:
        """Select those at ``rows``, a slice or (n,) int64."""
        return _valid(self.rules, self.tokens[rows], self.params[rows], self.refused[rows])

    def __call__(self, images: Tensor) -> Tensor:
        """Apply pipeline i to image i, (B, 3, H, W) -> (B, 3, H, W), unclipped and differentiable."""
        return self.rules.bank(images, self.tokens, self.params)

    @property
    def lengths(self) -> Tensor:
        """Return modules of each pipeline, (B,) int64."""
        return (self.tokens != self.rules.bank.end_token).sum(1)

    def to(self, device: torch.device | str) -> Pipelines:
        """Move tokens and parameters to ``device``."""
        return _valid(self.rules, self.tokens.to(device), self.params.to(device), self.refused.to(device))

    def detach(self) -> Pipelines:
        """Return the same without gradients."""
        return _valid(self.rules, self.tokens, self.params.detach(), self.refused)

    @staticmethod
    def cat(parts: Sequence[Pipelines]) -> Pipelines:
        """Join batches that obey the same rules, at least one."""
        tokens, params, refused = (
            torch.cat([getattr(part, name) for part in parts]) for name in ("tokens", "params", "refused")
        )
        return Pipelines(parts[0].rules, tokens, params, refused)

    def names(self, i: int) -> tuple[str, ...]:
        """Return the modules of pipeline ``i`` in order of use."""
        return tuple(self.rules.bank.names[token] for token in self._program(i))

    def steps(self, i: int) -> list[list[float]]:
        """Return each step's normalised parameters of pipeline ``i``; exact in float32, as JSON holds them."""
        return [self.params[i, t, self.rules.bank.slices[token]].tolist() for t, token in enumerate(self._program(i))]

    def describe(self, i: int) -> list[str]:
        """Say in physical units what pipeline ``i`` does, one line per module."""
        return self.rules.bank.describe(self.tokens[i], self.params[i])

    def record(self, i: int) -> dict[str, Any]:
        """Return pipeline ``i`` as a result row holds it; :meth:`from_records` makes the same pipelines of it again."""
        return {"sequence": list(self.names(i)), "params": self.steps(i), "description": self.describe(i)}

    @staticmethod
    def from_records(rules: Rules, rows: Sequence[Mapping[str, Any]]) -> Pipelines:
        """Make pipelines from what :meth:`record` gave; ``ValueError`` if a row is none."""
        try:
            return rules.of_names([row["sequence"] for row in rows], [row["params"] for row in rows])
        except (KeyError, TypeError) as error:
            raise ValueError(f"a recorded pipeline lacks its modules or parameters: {error}") from error

    def _program(self, i: int) -> list[int]:
        return [token for token in self.tokens[i].tolist() if token != self.rules.bank.end_token]


def _valid(rules: Rules, tokens: Tensor, params: Tensor, refused: Tensor) -> Pipelines:
    """Pipelines of what is known to be valid; checking takes a walk through all steps, which environments need once."""
    made = object.__new__(Pipelines)
    for name, value in (("rules", rules), ("tokens", tokens), ("params", params), ("refused", refused)):
        object.__setattr__(made, name, value)
    return made


def _fitted(rules: Rules, tokens: Any, params: Any) -> tuple[Tensor, Tensor]:
    """Tokens (B, L) and parameters (B, L, P) of known tokens and numbers in [0, 1], whatever widths they came in."""
    bank, length = rules.bank, rules.max_length
    for name, value in (("tokens", tokens), ("params", params)):
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} must be a tensor, not {type(value).__name__}")
    if tokens.ndim != 2 or tokens.is_floating_point() or tokens.is_complex() or tokens.dtype == torch.bool:
        raise ValueError(f"tokens must be int64 of shape (B, L), not {tokens.dtype} of {tuple(tokens.shape)}")
    tokens = tokens.to(torch.int64)
    shapes = [(len(tokens), bank.num_params), (len(tokens), tokens.shape[1], bank.num_params)]
    if tuple(params.shape) not in shapes or not params.is_floating_point():
        raise ValueError(
            f"params must be floating point of shape {shapes[0]} or {shapes[1]}, "
            f"not {params.dtype} of {tuple(params.shape)}"
        )
    if params.device != tokens.device:
        raise ValueError(f"tokens are on {tokens.device}, params on {params.device}")
    if tokens.numel() and not bool(((tokens >= 0) & (tokens <= bank.end_token)).all()):
        raise ValueError(f"tokens must lie in [0, {bank.end_token}] ({bank.end_token} ends a pipeline)")
    if not bool(((params >= 0) & (params <= 1)).all()):
        raise ValueError("params must be finite and lie in [0, 1]")
    if bool((tokens != bank.end_token).cumprod(1)[:, length:].any()):
        raise ValueError(f"a pipeline has more than {length} modules")
    width = min(tokens.shape[1], length)
    tokens = F.pad(tokens[:, :length], (0, length - width), value=bank.end_token)
    # Copies, so that whoever fills the same tensors for the next batch does not rewrite what was scored.
    if params.ndim == 2:
        return tokens.clone(), params.clone()[:, None].expand(-1, length, -1)
    return tokens.clone(), F.pad(params[:, :length], (0, 0, 0, length - width)).clone()


def _reason(rules: Rules, before: Tensor, name: str) -> str:
    token = rules.bank.names.index(name)
    if not rules.repeats and token in before.tolist():
        return "it was used before"
    return "it does not find its input domain there (order=typed)"
