"""The examples in docstrings do what they say, with nothing but what is installed: no network, no download."""

import doctest
import re
import socket
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROMPT = re.compile(r"^\s*>>> ", re.MULTILINE)
FILES = sorted(
    path
    for package in ("isp_gym", "agents", "baselines")
    for path in (ROOT / package).rglob("*.py")
    if PROMPT.search(path.read_text())
)


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_):
        raise OSError("examples may not use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_examples(path, tmp_path, monkeypatch, capsys):
    try:
        module = import_module(module_name(path))
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("isp_gym", "agents", "baselines"):
            raise
        pytest.skip(f"{error.name} is not installed")
    monkeypatch.chdir(tmp_path)  # what an example writes goes here
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0, capsys.readouterr().out
    # doctest does not find what a decorator hides.
    assert result.attempted == len(PROMPT.findall(path.read_text()))


def test_there_are_some():
    assert {"isp_gym.envs.sequence", "isp_gym.envs.transition", "isp_gym.adapters.sb3"} <= set(map(module_name, FILES))
