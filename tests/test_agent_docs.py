"""The example of docs/agents.md works as it stands."""

import re
from pathlib import Path

import pytest

from isp_gym.testing import check_agent

DOCS = Path(__file__).parents[1] / "docs" / "agents.md"


@pytest.fixture
def example(tmp_path, monkeypatch):
    code = re.search(r"<!-- example: (\S+) -->\n```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.S)
    (tmp_path / code[1]).write_text(code[2])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return f"{code[1].removesuffix('.py')}:HillClimb"


def test_the_example_passes_the_check(example):
    check_agent(example)  # which also saves, loads, interrupts and resumes it
