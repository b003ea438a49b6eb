"""The random numbers of a run: seeded once, kept in checkpoints, and left alone by whoever only looks on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_everything(seed: int) -> int:
    """Seed torch, numpy and python, and compute on one thread, so that runs side by side do not wait for each other.

    Args:
        seed: In [0, 2**64).

    Returns:
        The seed of the run's environments, in [0, 2**32): runs of neighbouring seeds share no stream of scenes, though
        sub-environment i of an environment seeded with s has seed s + i.
    """
    torch.set_num_threads(1)
    for_numpy, for_environments = (int(word) for word in np.random.SeedSequence(seed).generate_state(2))
    torch.manual_seed(seed)
    np.random.seed(for_numpy)
    random.seed(seed)
    return for_environments


def random_state() -> dict[str, Any]:
    """Return the state of every generator, as tensors and plain values."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    version, words, second = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [str(kind), torch.from_numpy(np.asarray(keys).astype(np.int64)), int(position), int(has_gauss), gauss],
        "python": [version, list(words), second],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore what :func:`random_state` returned."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, words, second = state["python"]
    random.setstate((version, tuple(words), second))


def as_torch_starts() -> None:
    """Reset what an agent may have changed for the whole process: the default dtype, and gradients."""
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Compute inside as in a fresh process; what follows goes on as if nothing had been sampled or changed."""
    state, dtype, grad = random_state(), torch.get_default_dtype(), torch.is_grad_enabled()
    as_torch_starts()
    try:
        yield
    finally:
        set_random_state(state)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
