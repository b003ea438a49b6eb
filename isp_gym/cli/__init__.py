"""The command line, ``isp-gym``: one file a command; what is heavy is imported when a command needs it."""

from isp_gym.cli.app import main

__all__ = ["main"]
