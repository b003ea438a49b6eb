"""Which scene an episode shows: a pure function of (seed, lane, episode), whatever the agent does."""

from __future__ import annotations

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


class Episodes:
    """The lanes' seeds and episode numbers.

    Args:
        num_lanes: How many episodes run side by side.
    """

    def __init__(self, num_lanes: int) -> None:
        self.seeds = np.zeros(num_lanes, np.uint64)
        self.numbers = np.full(num_lanes, -1, np.int64)

    def seed(self, seeds: NDArray[np.uint64]) -> None:
        """Start every lane anew; its next episode has number 0."""
        self.seeds[:] = seeds
        self.numbers[:] = -1

    def next(self, lanes: NDArray[np.int64], num_scenes: int) -> NDArray[np.int64]:
        """Begin the next episode of some lanes and return the scene that each shows."""
        self.numbers[lanes] += 1
        return scene_indices(self.seeds[lanes], self.numbers[lanes].astype(np.uint64), num_scenes)
