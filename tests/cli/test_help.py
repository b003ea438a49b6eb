import re
import sys

import pytest

import isp_gym
from isp_gym.cli import main
from isp_gym.cli.app import app

COMMANDS = [info.callback.__name__.replace("_", "-") for info in app.registered_commands]


@pytest.fixture
def printed(monkeypatch, capfd):
    """Run ``isp-gym ARGS``; return what it printed."""

    def run(*args: str) -> str:
        monkeypatch.setattr(sys, "argv", ["isp-gym", *args])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        return capfd.readouterr().out

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_in_its_help(printed, command):
    lines = printed(command, "--help").splitlines()
    examples = lines[lines.index("  Examples:") + 1 :]
    assert examples[0].startswith(f"    isp-gym {command}")
    # What an example says can be said: its options are there.
    options = set(re.findall(r"(--[a-z-]+)", " ".join(examples[: examples.index("")])))
    assert options <= set(re.findall(r"(--[a-z-]+)", " ".join(examples[examples.index("") :])))


def test_help_without_a_command(printed):
    assert printed() == printed("--help")
    assert all(f"  {command} " in printed() for command in COMMANDS)


def test_version_is_one_line(printed):
    assert printed("--version") == f"isp-gym {isp_gym.__version__}\n"
