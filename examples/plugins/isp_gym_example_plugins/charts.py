"""A data source: noisy, dark pictures of colour charts, made when they are asked for."""

import numpy as np
import torch

from isp_gym.data import SPLITS, DataSource, LazyStore, Scene, SceneSet

ROWS, COLUMNS = 4, 6


class Charts(DataSource):
    """Charts of 4x6 patches in colours of their own, underexposed by one to four stops, with Gaussian read noise."""

    name = "charts"
    licence = "MIT"
    reference = "this package"
    description = "dark, noisy charts of 24 random colours"

    def version(self) -> str:
        """Return the version, to be raised when the scenes change."""
        return "1"

    def check(self, argument: str) -> None:
        """Accept: there is always something to make."""

    def fingerprint(self, argument: str) -> str:
        """Return what changes when the scenes change."""
        return self.version()

    def load(
        self, argument: str, split: str, count: int, image_size: int, seed: int, on_error: str = "raise"
    ) -> SceneSet:
        """Make scenes 0 to ``count`` - 1 of a split; scene k depends on split, k, size and seed alone."""
        names = [f"chart-{k}" for k in range(count)]
        ids = [f"{split}/{name}" for name in names]

        def scene(k: int) -> Scene:
            rng = np.random.default_rng([SPLITS.index(split), k, seed])
            target = _chart(rng, image_size)
            light = target**2.2 * 2.0 ** rng.uniform(-4, -1)
            noisy = light + rng.normal(0, 0.005, light.shape)
            return Scene(_tensor(noisy), _tensor(target), ids[k])

        return SceneSet(LazyStore(scene, count), ids, names, split, self.name)


def _chart(rng: np.random.Generator, size: int) -> np.ndarray:
    """Lay patches of random colours over a square, (3, size, size) in [0, 1]."""
    patches = rng.random((3, ROWS, COLUMNS))
    rows, columns = np.arange(size) * ROWS // size, np.arange(size) * COLUMNS // size
    return patches[:, rows][:, :, columns]


def _tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.clip(0, 1).astype(np.float32))
