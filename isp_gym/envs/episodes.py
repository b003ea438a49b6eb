"""Which scene an episode shows: a pure function of (seed, lane, episode), whatever the agent does."""

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
    """Draw a scene for each lane.

    Args:
        seeds: Seed of each lane, (n,). As everywhere in Gymnasium, lane i of an environment
            seeded with s has seed s + i.
        episodes: Number of the episode of each lane, (n,), counted from 0.
        num_scenes: How many scenes there are.

    Returns:
        Scene indices in [0, num_scenes), (n,).
    """
    draws = _mix(_mix(np.asarray(seeds, np.uint64)) ^ np.asarray(episodes, np.uint64))
    return (draws % np.uint64(num_scenes)).astype(np.int64)


def seeds_of(seed: Any, count: int) -> list[int]:
    """The seeds of some sub-environments: ``seed``, ``seed + 1``, ...; or those of a sequence, one each.

    Args:
        seed: A whole number of any size and kind; or a sequence, an array or a tensor of them.
        count: How many sub-environments there are.

    Raises:
        gymnasium.error.Error: A seed is negative, as everywhere in Gymnasium.
        ValueError: A seed is no whole number, or there is not one for each sub-environment.
    """
    single = isinstance(seed, (int, np.integer)) or getattr(seed, "ndim", None) == 0
    given = [seed] if single else seed
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise ValueError(f"seed must be a whole number, or one for each sub-environment, not {seed!r}")
    seeds = []
    for one in given:
        try:
            seeds.append(operator.index(one))
        except TypeError:
            raise ValueError(f"a seed must be a whole number, not {one!r}") from None
        if seeds[-1] < 0:
            raise gym.error.Error(f"Seed must be greater or equal to zero, actual value: {seeds[-1]}")
    if single:
        return [seeds[0] + i for i in range(count)]
    if len(seeds) != count:
        raise ValueError(f"{len(seeds)} seeds for {count} environments")
    return seeds


class Episodes:
    """The lanes' seeds and episode numbers.

    Args:
        num_lanes: How many episodes run side by side.
    """

    def __init__(self, num_lanes: int) -> None:
        self.seeds = np.zeros(num_lanes, np.uint64)
        self.numbers = np.full(num_lanes, -1, np.int64)

    def seed(self, seeds: Iterable[int]) -> None:
        """Start every lane anew, from a seed modulo 2**64 each; its next episode has number 0."""
        self.seeds[:] = np.array([int(seed) % 2**64 for seed in seeds], np.uint64)
        self.numbers[:] = -1

    def next(self, lanes: NDArray[np.int64], num_scenes: int) -> NDArray[np.int64]:
        """Begin the next episode of some lanes and return the scene that each shows."""
        self.numbers[lanes] += 1
        return scene_indices(self.seeds[lanes], self.numbers[lanes].astype(np.uint64), num_scenes)
