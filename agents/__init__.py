"""Agents of our own: policies and learners in torch.

- ``sequence/``: one module sequence for the task and parameters for each image (POS-ISP).
- ``pixel/``: agents that give every pixel a tone curve of its own; it comes with the first of them.
- ``algorithms/``: advantages and losses of REINFORCE, PPO and GRPO, which the agents share.
"""

from agents.sequence import POSISP

__all__ = ["POSISP"]
