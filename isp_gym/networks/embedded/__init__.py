"""The network that comes with the package: a small detector and segmenter of synthetic scenes, with its weights."""

from isp_gym.networks.embedded.network import EmbeddedNetwork

__all__ = ["EmbeddedNetwork"]
