"""The program as a whole: its imports, its exits, and that no traceback reaches the user."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import click
import pytest

from p2pverify.cli import errors
from p2pverify.cli.main import COMMANDS, main
from p2pverify.cli.progress import Progress
from p2pverify.cli.setup.rules import RULES
from p2pverify.cli.table import pairs, percent, table
from p2pverify.core.contract.network import PARAM_BOUNDS
from p2pverify.node.files.home import Home
from p2pverify.node.files.networktable import DEFAULTS, LONG_PERMILLE, usual_spreads, usual_tail
from p2pverify.node.reports.documents.health import Ready
from tests.cli.fake_api import body, fake_api
from tests.cli.transcript import PROGRAM, REPOSITORY, environment, run
from tests.support.documents import AUDITS, NEIGHBOUR, PEERS, SCORES, STATUS

HEAVY = ("pydantic", "trio", "libp2p", "fastapi", "anycorn", "rich", "numpy", "nacl", "cbor2", "sqlite3", "asyncio")
FOUND = "network new --engine toy --founder 12D3KooWSP57aGZQFeT62guhLo4JtDYJdYxtewsz9NaJaCuCz2YY"
READING = [["status"], ["peers"], ["scores"], ["audits"], ["wait", "--timeout", "0"], ["--help"]]


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_commands_import_little(command: list[str], tmp_path: Path) -> None:
    """Commands that only read a node's API do not import the heavy modules, so they are quick."""
    code = (
        "import sys\n"
        "from p2pverify.cli.main import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "finally:\n"
        "    print(*sorted(sys.modules), file=sys.stderr)\n"
    )
    bodies = {
        "/v1/status": body(STATUS),
        "/v1/peers": body(PEERS),
        "/v1/scores?view=final": body(SCORES),
        "/v1/audits?limit=20": body(AUDITS),
    }
    home = Home(tmp_path / "home")
    with fake_api(home, bodies):
        done = subprocess.run(
            [sys.executable, "-c", code, *command],
            env=environment(home.path),
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0
    loaded = {name.partition(".")[0] for name in done.stderr.split()}
    assert "p2pverify" in loaded
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_can_be_loaded(name: str) -> None:
    """Every command in the help exists, has a description and takes --home."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.help
    assert "home" in {param.name for param in command.params}


def test_help_lists_every_command_and_exit_code(tmp_path: Path) -> None:
    """The first page has all commands and the meanings of exit codes."""
    done = run(tmp_path, "--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    told = " ".join(done.stdout.split())
    readme = " ".join((REPOSITORY / "README.md").read_text(encoding="utf-8").split())
    codes = (
        "0 ok, 1 error, 2 usage, 3 node not running, 4 not ready or timed out, 5 verification failed, 130 interrupted"
    )
    assert codes in told
    assert codes in readme


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell: str, tmp_path: Path) -> None:
    """Each shell gets a script that calls the program back."""
    done = run(tmp_path, "completion", shell)
    assert done.returncode == 0
    assert "_P2PVERIFY_COMPLETE" in done.stdout


def test_names_of_commands_are_completed(tmp_path: Path) -> None:
    """A shell gets the commands that begin with the typed text, and nothing is run."""
    asked = {"_P2PVERIFY_COMPLETE": "bash_complete", "COMP_WORDS": "p2pverify s", "COMP_CWORD": "1"}
    done = subprocess.run(PROGRAM, env=environment(tmp_path) | asked, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["plain,scores", "plain,status", "plain,statement", "plain,settle", "plain,sponsor"]


def test_a_closed_pipe_is_not_an_error_message(tmp_path: Path) -> None:
    """If the reader closes the output, the program ends silently."""
    reader, writer = os.pipe()
    os.close(reader)
    home = Home(tmp_path / "home")
    peers = replace(PEERS, peers=(NEIGHBOUR,) * 20_000)
    try:
        with fake_api(home, {"/v1/peers": body(peers)}):
            done = subprocess.run(
                [*PROGRAM, "peers"],
                env=environment(home.path),
                stdout=writer,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (errors.BROKEN_PIPE, "")


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Handle SIGINT, because a shell's background processes and their children ignore it."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.mark.usefixtures("_interruptible")
def test_an_interrupt_ends_without_a_traceback(tmp_path: Path) -> None:
    """Ctrl-C while waiting gives exit code 130 and no output."""
    home = Home(tmp_path / "home")
    not_ready = Ready(schema="p2pverify/ready/1", ready=False, reasons=())
    with fake_api(home, {"/readyz": body(not_ready, 503)}) as api:
        process = subprocess.Popen(
            [*PROGRAM, "wait", "--ready", "--timeout", "30"],
            env=environment(home.path),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            assert api.asked.wait(timeout=30)
            process.send_signal(signal.SIGINT)
            printed, _ = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, printed) == (errors.INTERRUPTED, "")


def _raising(error: BaseException) -> int:
    def body() -> None:
        raise error

    return errors.guarded(body)


class PlainFault(Exception):
    """An exception of the program that carries only its text."""


PlainFault.__module__ = "p2pverify.engine.errors"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (errors.CliError("it broke", "mend it"), 1, "p2pverify: it broke\nhint: mend it\n"),
        (errors.NotVerifiedError("record 3 does not hold"), 5, "p2pverify: record 3 does not hold\n"),
        (errors.CliError("two\nlines \x1b[31m"), 1, "p2pverify: two lines ?[31m\n"),
        (
            FileNotFoundError(2, "No such file or directory", "x.toml"),
            1,
            "p2pverify: x.toml: No such file or directory\nhint: check the path and its permissions\n",
        ),
        (PlainFault("no weights: install them"), 1, "p2pverify: no weights: install them\n"),
        (
            ExceptionGroup("nursery", [ExceptionGroup("inner", [errors.NotReadyError("late")])]),
            4,
            "p2pverify: late\n",
        ),
        (
            ZeroDivisionError("x"),
            1,
            (
                "p2pverify: unexpected fault: ZeroDivisionError: x\n"
                "hint: set P2PVERIFY_DEBUG=1 to see where it happened, and report it\n"
            ),
        ),
        (KeyboardInterrupt(), 130, ""),
        (BaseExceptionGroup("nursery", [KeyboardInterrupt(), ValueError()]), 130, ""),
        (click.Abort(), 130, ""),
    ],
)
def test_exceptions_become_two_lines_and_a_code(
    error: BaseException, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every exception of a command gives its documented exit code and a message on stderr."""
    assert _raising(error) == code
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", said)


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """P2PVERIFY_DEBUG=1 only adds the traceback."""
    monkeypatch.setenv(errors.DEBUG_VARIABLE, "1")
    assert _raising(ZeroDivisionError("x")) == 1
    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert "p2pverify: unexpected fault: ZeroDivisionError: x" in printed


def test_tables_align_and_clean() -> None:
    """Columns have equal widths, numbers are right-aligned, and control characters are replaced."""
    assert table(("A", "COUNT"), [("x\x07y", 5), ("z", 100), (None, None)]) == (
        "A    COUNT\nx?y      5\nz      100\n-        -"
    )
    assert table(("A",), []) == "A"
    assert pairs([("a", True), ("long", None)]) == "a     yes\nlong  -"
    assert (percent(0.5), percent(None)) == ("50.0%", None)


class _Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_rewrites_a_terminal_and_names_stages_elsewhere() -> None:
    """A terminal gets one line that is rewritten and then removed. A log gets each stage once."""
    terminal, log = _Terminal(), StringIO()
    for stream in (terminal, log):
        with Progress(stream) as progress:
            for done in (0, 50, 50, 100):
                progress("loading", done, 100)
            progress("records", 0, 0)
    assert terminal.getvalue().split("\r")[1:] == [
        "loading 0 %", "loading 50 %", "loading 100 %", "records ...  ", " " * 11, "",
    ]  # fmt: skip
    assert log.getvalue() == "loading ...\nrecords ...\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("command", "code"), [("init", 0), ("leave", 2), ("status", 3), (FOUND, 0)])
def test_closed_standard_streams_are_no_fault(closed: str, command: str, code: int, tmp_path: Path) -> None:
    """A command works without them, and no opened file gets their descriptors."""
    script = f'exec {closed}; "$@"; echo $? > code'
    subprocess.run(
        ["bash", "-c", script, "bash", *PROGRAM, *command.split()],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        capture_output=True,
        check=False,
    )
    assert (tmp_path / "code").read_text() == f"{code}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_help(name: str) -> None:
    """This covers every command and subcommand, except hidden options."""
    command = main.get_command(click.Context(main), name)
    assert command is not None
    waiting = [command]
    while waiting:
        found = waiting.pop()
        waiting += found.commands.values() if isinstance(found, click.Group) else ()
        options = [param for param in found.params if isinstance(param, click.Option) and not param.hidden]
        assert [option.opts for option in options if not option.help] == []


def test_the_help_of_rules_names_their_usual_values() -> None:
    """Every rule has help with the default of a network file."""
    assert [name for name, _, _ in PARAM_BOUNDS] == list(RULES)
    for name, (_, usual) in RULES.items():
        if name in DEFAULTS and usual != "by --for" and not name.endswith("_spread") and not name.startswith("long_"):
            assert usual == str(DEFAULTS[name]), name
    assert usual_spreads({"prompt_tokens": 8, "answer_tokens": 8, "temperature_milli": 800}) == {
        "prompt_spread": 4,
        "answer_spread": 4,
        "temperature_spread": 300,
    }
    assert RULES["long_permille"][1] == str(LONG_PERMILLE)


@pytest.mark.parametrize(
    ("given", "context", "usual"),
    [
        ({}, 1024, (10, 928)),
        ({}, 8192, (10, 1024)),
        ({"epoch_ms": 5_000}, 8192, (10, 100)),
        ({"epoch_ms": 1_000}, 8192, (0, 0)),
        ({"answer_tokens": 928}, 1024, (0, 0)),
        ({"long_permille": 0}, 1024, (0, 0)),
        ({"long_tokens": 0}, 1024, (0, 0)),
        ({"long_tokens": 200}, 1024, (10, 200)),
        ({"long_permille": 50}, 1024, (50, 928)),
    ],
)
def test_the_usual_long_answers_fit_the_engine_and_the_epoch(
    given: dict[str, int], context: int, usual: tuple[int, int]
) -> None:
    """A slot in a hundred asks for them. Without room for them there are none; what is given stays."""
    found = {**usual_tail(given, context), **given}
    assert (found["long_permille"], found["long_tokens"]) == usual
