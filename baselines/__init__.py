"""Rivals: fixed pipelines, search, and Stable-Baselines3 on the stepwise environment."""

from baselines.fixed import CameraISP, CameraJPEG, InputAsIs
from baselines.random_search import RandomSearch
from baselines.stepwise import StepwisePPO

__all__ = ["CameraISP", "CameraJPEG", "InputAsIs", "RandomSearch", "StepwisePPO"]
