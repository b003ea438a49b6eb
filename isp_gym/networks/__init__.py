"""Frozen detectors and segmenters that tasks judge by: the embedded one, Hugging Face's, ultralytics' YOLO."""

from isp_gym.networks.base import Detections, Network

__all__ = ["Detections", "Network"]
