"""How commands fail: one line says what happened, one says what to do, and the exit code is documented.

0 ok   1 error   2 usage   3 node not running   4 not ready or timed out   5 verification failed
130 interrupted   141 nobody reads the output any more
"""

import io
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import click

from p2pverify.node.user_error import UserError

OK = 0
ERROR = 1
USAGE = 2
NOT_RUNNING = 3
NOT_READY = 4
NOT_VERIFIED = 5
INTERRUPTED = 130
BROKEN_PIPE = 141

DEBUG_VARIABLE = "P2PVERIFY_DEBUG"
_TEXT_CHARS_MAX = 2000
_STDOUT, _STDERR = 1, 2


class CliError(click.ClickException):
    """Ends a command with a message, a hint, and the exit code of its class."""

    exit_code = ERROR

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the two lines."""
        report(self.message, self.hint, file)


class NotRunningError(CliError):
    """No node answers for this home."""

    exit_code = NOT_RUNNING

    def __init__(self, message: str) -> None:
        super().__init__(message, "start it with 'p2pverify join'")


class NotReadyError(CliError):
    """Something did not happen in time."""

    exit_code = NOT_READY


class NotVerifiedError(CliError):
    """A check has failed."""

    exit_code = NOT_VERIFIED


def report(message: str, hint: str = "", file: IO[Any] | None = None) -> None:
    """Print the two lines of an error to stderr, or to `file`."""
    stream = sys.stderr if file is None else file
    click.echo(f"p2pverify: {one_line(message)}", file=stream)
    if hint:
        click.echo(f"hint: {one_line(hint)}", file=stream)


def one_line(text: str) -> str:
    """Text that is safe on a terminal: one line, printable, of limited length."""
    joined = " ".join(text.split())
    return "".join(c if c.isprintable() else "?" for c in joined[:_TEXT_CHARS_MAX])


def prepare_streams() -> None:
    """Make the standard streams safe: a closed stream leads nowhere, and every text can be printed.

    Otherwise the next opened file would take a closed stream's descriptor, and output would be written into it by
    mistake.
    """
    nothing = os.open(os.devnull, os.O_RDWR)
    while nothing <= _STDERR:
        nothing = os.open(os.devnull, os.O_RDWR)
    os.close(nothing)
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the process's life
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def guarded(body: Callable[[], object]) -> int:
    """Run a command and return its exit code. An exception becomes two lines on stderr."""
    try:
        result = body()
        sys.stdout.flush()
    except BrokenPipeError:
        return _abandon_stdout()
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a command never ends in a traceback
        return _explain(error)
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        return INTERRUPTED
    return result if isinstance(result, int) else OK


def _explain(error: Exception) -> int:
    leaf: BaseException = error
    while isinstance(leaf, BaseExceptionGroup):
        leaf = leaf.exceptions[0]
    if isinstance(leaf, BrokenPipeError):
        return _abandon_stdout()
    if os.environ.get(DEBUG_VARIABLE) == "1":
        traceback.print_exception(error)
    if isinstance(leaf, click.exceptions.NoArgsIsHelpError):
        leaf.show()
        return USAGE
    if isinstance(leaf, click.UsageError):
        command = leaf.ctx.command_path if leaf.ctx else "p2pverify"
        report(leaf.format_message(), getattr(leaf, "hint", "") or f"'{command} --help' shows how to call it")
        return USAGE
    if isinstance(leaf, click.ClickException):
        leaf.show()
        return leaf.exit_code
    report(*_sentence(leaf))
    if isinstance(leaf, UserError) and leaf.is_not_ready:
        return NOT_READY
    return USAGE if isinstance(leaf, UserError) and leaf.is_usage else ERROR


def _sentence(error: BaseException) -> tuple[str, str]:
    """What happened and what to do, for an exception that is not the command line's own."""
    if isinstance(error, UserError):
        return error.reason, error.hint
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}", "check the path and its permissions"
    if type(error).__module__.startswith("p2pverify."):
        return str(error), ""
    text = f"unexpected fault: {type(error).__name__}: {error}"
    return text, f"set {DEBUG_VARIABLE}=1 to see where it happened, and report it"


def _abandon_stdout() -> int:
    """Point stdout at nothing, so that the interpreter's last flush does not fail too."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, _STDOUT)
    os.close(nothing)
    return BROKEN_PIPE
