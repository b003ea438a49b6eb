"""Detectors and segmenters of Hugging Face transformers."""

from isp_gym.networks.huggingface.network import HuggingFaceNetwork

__all__ = ["HuggingFaceNetwork"]
