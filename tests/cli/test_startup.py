"""What is answered before torch is imported, which takes seconds."""

import json
import subprocess
import sys

COMMANDS = ("compare", "train", "evaluate", "enhance", "tune-agents", "doctor", "oracle", "replay", "data")
FAST = {
    "no command": [],
    "version": ["--version"],
    "help": ["--help"],
    **{
        f"help of {name}": [name, "--help"]
        for name in ("compare", "train", "evaluate", "enhance", "tune-agents", "doctor", "oracle", "replay", "data")
    },
    "agents": ["agents"],
    "unknown config": ["compare", "--config", "nope", "--out", "x"],
    "unknown file": ["oracle", "--config", "nope.yaml", "--out", "x"],
    "no value": ["compare", "--config", "quick", "--out", "x", "budget"],
    "no out": ["compare", "--config", "quick", "--out", ""],
    "unknown option": ["compare", "--colour", "red"],
    "unknown command": ["compute"],
    "unknown run": ["evaluate", "--policy", "nope/x"],
    "config of evaluate": ["evaluate", "--policy", "camera", "--config", "nope"],
    "config of train": ["train", "--config", "nope", "--out", "x"],
    "config of tuning": ["tune-agents", "--config", "nope", "--out", "x", "--trials", "2"],
    "nothing to enhance": ["enhance", "--policy", "camera", "nope.png", "--out", "x"],
    "no results": ["replay", "nope"],
}
FAULTS = [
    name for name, args in FAST.items() if args and "--help" not in args and args[0] not in ("agents", "--version")
]
SCRIPT = """
import contextlib, io, json, sys
from isp_gym.cli import main
answers = {}
for name, args in json.loads(sys.argv[1]).items():
    sys.argv = ["isp-gym", *args]
    err = io.StringIO()
    try:
        with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
            main()
    except SystemExit as end:
        answers[name] = (end.code, err.getvalue(), "torch" in sys.modules)
print(json.dumps(answers))
"""


def test_help_and_wrong_paths_need_no_torch_and_are_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(FAST)], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    answers = json.loads(done.stdout)
    assert list(answers) == list(FAST)
    assert {name: code for name, (code, _, _) in answers.items()} == {n: 2 if n in FAULTS else 0 for n in FAST}
    assert [name for name, (_, err, _) in answers.items() if err.count("\n") != (name in FAULTS)] == []
    assert [name for name, (_, _, torch) in answers.items() if torch] == []
    assert not list(tmp_path.iterdir())
