"""Baselines: fixed pipelines, search, and Stable-Baselines3 on the stepwise environment."""

from baselines.fixed import CameraISP, CameraJPEG, InputAsIs, Original
from baselines.random_search import RandomSearch
from baselines.stepwise import StepwisePPO

__all__ = ["CameraISP", "CameraJPEG", "InputAsIs", "Original", "RandomSearch", "StepwisePPO"]
