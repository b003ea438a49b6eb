"""The application: which commands there are, and what ends as one line."""

from __future__ import annotations

import errno
import sys
import warnings

import typer

from isp_gym.cli.compare import compare
from isp_gym.cli.enhance import enhance
from isp_gym.cli.evaluate import evaluate
from isp_gym.cli.oracle import oracle
from isp_gym.cli.replay import replay
from isp_gym.cli.tables import agents, data, envs, modules, rewards
from isp_gym.errors import UserError
from isp_gym.interrupts import Interrupted, interrupts

app = typer.Typer(
    help="Learned camera image signal processors: environments, agents and head-to-head comparisons.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for command in (compare, enhance, evaluate, oracle, replay, envs, modules, rewards, agents, data):
    app.command()(command)

# Faults of the machine that need no traceback: no space, quota, read-only, too many files.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)


def main() -> None:
    """Run the command line; what the user must change is one line and exit code 2, and a warning is one line."""
    warnings.showwarning = lambda message, *_, **__: print(f"isp-gym: warning: {message}", file=sys.stderr)
    code = 0
    try:
        with interrupts():
            app()
    except UserError as error:
        code = _fail(str(error), 2)
    except Interrupted as error:
        code = _fail(str(error) or "interrupted", 130)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        code = _fail(f"{error.strerror}: {error.filename or 'a file could not be written'}", 2)
    sys.exit(code)


def _fail(message: str, code: int) -> int:
    print(f"isp-gym: {message}", file=sys.stderr)
    return code
