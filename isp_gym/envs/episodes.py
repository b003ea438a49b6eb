"""Which scene an episode shows: a pure function of (seed, sub-environment, episode), whatever the agent does."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele et al. 2014): every output bit depends on every input bit."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def scene_indices(seeds: NDArray[np.uint64], episodes: NDArray[np.uint64], num_scenes: int) -> NDArray[np.int64]:
    """Sample a scene for each sub-environment.

    Args:
        seeds: Seed of each sub-environment, (n,). As everywhere in Gymnasium, sub-environment i of a vector environment
            seeded with s has seed s + i.
        episodes: Number of the episode of each, (n,), counted from 0.
        num_scenes: How many scenes there are.

    Returns:
        Scene indices in [0, num_scenes), (n,).
    """
    mixed = _mix(_mix(np.asarray(seeds, np.uint64)) ^ np.asarray(episodes, np.uint64))
    return (mixed % np.uint64(num_scenes)).astype(np.int64)


def seeds_of(seed: Any, count: int) -> list[int]:
    """Return the seeds of some sub-environments: ``seed``, ``seed + 1``, ...; or those of a sequence, one each.

    Args:
        seed: An integer of any size and kind; or a sequence, an array or a tensor of them.
        count: How many sub-environments there are.

    Raises:
        gymnasium.error.Error: A seed is negative, as everywhere in Gymnasium.
        ValueError: A seed is no integer, or there is not one for each sub-environment.
    """
    single = isinstance(seed, (int, np.integer)) or getattr(seed, "ndim", None) == 0
    given = [seed] if single else seed
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise ValueError(f"seed must be an integer, or one for each sub-environment, not {seed!r}")
    seeds = []
    for one in given:
        try:
            seeds.append(operator.index(one))
        except TypeError:
            raise ValueError(f"a seed must be an integer, not {one!r}") from None
        if seeds[-1] < 0:
            raise gym.error.Error(f"Seed must be greater or equal to zero, actual value: {seeds[-1]}")
    if single:
        return [seeds[0] + i for i in range(count)]
    if len(seeds) != count:
        raise ValueError(f"{len(seeds)} seeds for {count} environments")
    return seeds
