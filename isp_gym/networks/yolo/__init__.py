"""Detectors and segmenters of ultralytics."""

from isp_gym.networks.yolo.network import YOLONetwork

__all__ = ["YOLONetwork"]
