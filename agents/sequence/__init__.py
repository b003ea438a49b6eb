"""Sequence-level agents: one pipeline for the task, parameters for each image.

One file each, in reading order: ``posisp`` (the agent), ``settings`` (its hyper-parameters), ``policy`` (sampling of
sequences), ``networks``, ``learner`` (the training) and ``released`` (checkpoints of the authors).
"""

from agents.sequence.posisp import POSISP

__all__ = ["POSISP"]
