"""Tuning of agents: the search spaces that they declare, and the search for the best options on validation scenes."""

from isp_gym.tuning.space import Choice, Float, Int, Parameter

__all__ = ["Choice", "Float", "Int", "Parameter"]
