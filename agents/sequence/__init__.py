"""Sequence-level agents: one pipeline for the task, parameters for each image."""

from agents.sequence.posisp import POSISP

__all__ = ["POSISP"]
