"""A no-reference reward: stay away from black and white."""

from torch import Tensor

from isp_gym.data import SceneBatch
from isp_gym.modules.base import luminance
from isp_gym.rewards import Frame, RewardTerm


class Headroom(RewardTerm):
    """1 for luminance in the middle of the range, 0 at black and at white, flat in between."""

    name = "headroom"
    low, high = 0.0, 1.0
    uses = "image"
    description = "mean of 1 - (2 Y - 1)^8 over the pixels"
    reference = "this package"

    def map(self, frame: Frame, source: Frame, scenes: SceneBatch) -> Tensor:
        """Score each pixel, (B, H, W) in [0, 1]."""
        return 1 - (2 * luminance(frame.images)[:, 0] - 1) ** 8
