"""The benchmark: agents on the same scenes, with the same number of task evaluations, over several seeds."""

from isp_gym.benchmark.agent import Agent, load_agent
from isp_gym.benchmark.training import Training

__all__ = ["Agent", "Training", "load_agent"]
