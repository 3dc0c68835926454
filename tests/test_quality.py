"""The tools that check the house rules: formatting, lint, and the direction of imports."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINES_MAX = 400


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "check", "--quiet", "--output-format", "concise", "."],
        ["ruff", "format", "--check", "--quiet", "."],
    ],
    ids=["lint", "format"],
)
def test_a_tool_finds_nothing(command: list[str]) -> None:
    """The tool, run as by a developer, reports nothing. `tests/long/test_types` checks the types."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_point_one_way() -> None:
    """cli -> app | testnet -> api | client | net | store | engine -> node -> core, and the core touches no outside."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_modules_have_one_job() -> None:
    """A module of more than 400 lines should be split."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sorted((ROOT / "p2pverify").rglob("*.py"))
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LINES_MAX
    }
    assert not long


def test_the_top_level_holds_what_was_agreed() -> None:
    """Only the agreed names and dotfiles are tracked at the top level."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode != 0:  # an unpacked source archive has no history, so the folder is listed
        names = {path.name for path in ROOT.iterdir()}
    else:
        names = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    agreed = {"pyproject.toml", "p2pverify", "protocol", "tests", "testnet", "README.md", "LICENSE"}
    built = {"dist", "PKG-INFO", "uv.lock"}
    assert {name for name in names if not name.startswith(".")} - built <= agreed
