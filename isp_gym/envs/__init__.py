"""Environments; importing :mod:`isp_gym` registers them."""

from isp_gym.envs.registry import REGISTRY, Registered, environment_markdown, environment_table, register

__all__ = ["REGISTRY", "Registered", "environment_markdown", "environment_table", "register"]
