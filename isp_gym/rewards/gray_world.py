"""Gray world: the mean colour of a scene is grey."""

from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.rewards.base import Frame, RewardTerm


class GrayWorld(RewardTerm):
    """Minus the summed squared differences of the channel means to their own mean."""

    name = "gray_world"
    low, high = -2 / 3, 0.0
    uses = "image"
    description = "minus the squared differences of the mean R, G and B to their mean, summed"
    reference = "Buchsbaum 1980"

    def map(self, frame: Frame, source: Frame, scenes: SceneBatch) -> Tensor:
        """Return (B, 1, 1) in [-2/3, 0]: no pixel has more to do with it than another."""
        means = frame.images.mean(dim=(2, 3))
        return -(means - means.mean(1, keepdim=True)).square().sum(1)[:, None, None]
