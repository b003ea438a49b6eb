"""Agents of our own: POS-ISP."""

from agents.sequence import POSISP

__all__ = ["POSISP"]
