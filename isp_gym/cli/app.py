"""The application: which commands there are, and what ends as one line."""

from __future__ import annotations

import errno
import sys
import warnings
from typing import Annotated, Any

import typer

import isp_gym
from isp_gym.cli.compare import compare
from isp_gym.cli.doctor import doctor
from isp_gym.cli.enhance import enhance
from isp_gym.cli.evaluate import evaluate
from isp_gym.cli.oracle import oracle
from isp_gym.cli.replay import replay
from isp_gym.cli.tables import agents, data, envs, modules, rewards
from isp_gym.cli.train import train
from isp_gym.cli.tune_agents import tune_agents
from isp_gym.errors import UserError
from isp_gym.interrupts import Interrupted, interrupts
from isp_gym.streams import steady_streams

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
for command in (
    *(compare, train, evaluate, enhance, tune_agents, oracle, replay, doctor),
    *(envs, modules, rewards, agents, data),
):
    app.command()(command)

# Faults of the machine that need no traceback: no space, quota, read-only, too many files.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE)
_UsageError: type[Exception] = typer.BadParameter.__bases__[0]  # click's, or in newer versions typer's own copy of it


@app.callback(invoke_without_command=True)
def top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version of isp-gym.")] = False,
) -> None:
    """Learned camera image signal processors: environments, agents and head-to-head comparisons.

    \b
    Examples:
      isp-gym compare --config quick --out runs/quick
      isp-gym evaluate --policy runs/quick/runs/posisp/seed-0
    """
    if version:
        print(f"isp-gym {isp_gym.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """Run the command line; what the user must change is one line and exit code 2, and a warning is one line."""
    warnings.showwarning = lambda message, *_, **__: print(f"isp-gym: warning: {message}", file=sys.stderr)
    with steady_streams():
        code = _run()
    sys.exit(code)


def _run() -> int:
    try:
        with interrupts():
            return app(standalone_mode=False) or 0
    except _UsageError as error:
        return _fail(_usage(error), 2)
    except UserError as error:
        return _fail(str(error), 2)
    except Interrupted as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        return _fail(f"{error.strerror}: {error.filename or 'a file could not be written'}", 2)


def _usage(error: Any) -> str:
    """Say in one line what of a command line cannot be understood."""
    said = " ".join(error.format_message().split())
    return f"{said} ('{error.ctx.command_path} --help' shows what there is)" if error.ctx else said


def _fail(message: str, code: int) -> int:
    print(f"isp-gym: {message}", file=sys.stderr)
    return code
