"""Runs transcripts: files with commands and their output.

A line that begins with "$ " is a command line of p2pverify. The lines after it are its whole output to stdout and
stderr, where "..." stands for any text within a line. "[3]" is the exit code at the end; without it the exit code is 0.
A command that ends with " &" continues in the background after its first line of JSON; "$ interrupt" sends it SIGINT
and shows its exit code. "HOME" is the home directory, and files are in the current directory.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.commands import REPOSITORY, run_command

PROGRAM = (sys.executable, "-m", "p2pverify")
DEADLINE_S = 60


@dataclass(frozen=True, slots=True)
class Step:
    """One command with its expected output and exit code."""

    command: str
    expected: tuple[str, ...]
    exit_code: int


def read_steps(text: str) -> list[Step]:
    """The steps of a transcript. Lines before the first command are comments."""
    steps = []
    for block in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, *lines = block.rstrip().splitlines()
        code = 0
        if lines and (found := re.fullmatch(r"\[(\d+)\]", lines[-1])):
            code = int(found[1])
            lines.pop()
        steps.append(Step(command, tuple(lines), code))
    return steps


def matches(expected: tuple[str, ...], printed: str) -> bool:
    """Whether the printed text matches the transcript, line by line."""
    lines = printed.rstrip("\n").split("\n") if printed else []
    patterns = [".*".join(re.escape(part) for part in line.split("...")) for line in expected]
    return len(lines) == len(patterns) and all(map(re.fullmatch, patterns, lines))


def environment(home: Path) -> dict[str, str]:
    """A clean environment whose home directory is `home`."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "P2PVERIFY_HOME": str(home), "PYTHONPATH": str(REPOSITORY), "HOME": str(home.parent)}


def run(home: Path, *args: str, cwd: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    """Run one command to its end, with separate stdout and stderr."""
    return run_command(list(args), environment(home), cwd, deadline_s=DEADLINE_S)


@dataclass
class Player:
    """Plays a transcript in a directory."""

    directory: Path
    background: subprocess.Popen[str] | None = field(default=None)

    @property
    def home(self) -> Path:
        return self.directory / "home"

    def play(self, text: str) -> None:
        """Run every step. Raises AssertionError at the first step with another result."""
        steps = read_steps(text)
        assert steps
        try:
            for step in steps:
                code, printed = self._run(step.command)
                shown = printed.replace(str(self.home), "HOME")
                assert matches(step.expected, shown), f"$ {step.command}\n{shown}"
                assert code == step.exit_code, f"$ {step.command}\n{shown}[{code}]"
        finally:
            if self.background is not None:
                self.background.kill()
                self.background.communicate()

    def _run(self, command: str) -> tuple[int, str]:
        if command == "interrupt":
            return self._interrupt()
        program, *args = shlex.split(command.replace("HOME", str(self.home)))
        assert program == "p2pverify"
        if args[-1] == "&":
            return self._start(args[:-1])
        done = run_command(args, environment(self.home), self.directory, deadline_s=DEADLINE_S, merged=True)
        return done.returncode, done.stdout

    def _start(self, args: list[str]) -> tuple[int, str]:
        assert self.background is None
        self.background = subprocess.Popen(
            [*PROGRAM, *args],
            cwd=self.directory,
            env=environment(self.home),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(self.directory / "log").open("w"),
            text=True,
        )
        assert self.background.stdout is not None
        first = self.background.stdout.readline()
        return (0, first) if first else (self.background.wait(), (self.directory / "log").read_text())

    def _interrupt(self) -> tuple[int, str]:
        assert self.background is not None
        process, self.background = self.background, None
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=DEADLINE_S)
        return process.returncode, printed
