"""The quick check before a commit: `uv run python -m tests.check`. Linters, types, import rules and the fast tests.

Everything runs at once, as many as there are cores. Exits with 1 if anything has something to say, and shows it.
"""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAST = [
    *(f"tests/core/{room}" for room in ("contract", "encoding", "inference", "records", "state")),
    "tests/protocol",
    "tests/test_architecture.py",
]
CHECKS = {
    "types": ["mypy"],
    "tests": ["pytest", *FAST],
    "lint": ["ruff", "check", "--quiet", "."],
    "format": ["ruff", "format", "--quiet", "--check", "."],
    "imports": ["-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
}


def run(name: str) -> tuple[str, float, int, str]:
    """One check: its name, how many seconds it took, its exit code, and what it said."""
    command = CHECKS[name] if CHECKS[name][0] == "-c" else ["-m", *CHECKS[name]]
    start = time.monotonic()
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return name, time.monotonic() - start, done.returncode, done.stdout + done.stderr


def main() -> int:
    failed = 0
    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        for name, seconds, code, said in pool.map(run, CHECKS):
            failed |= code
            print(f"{name:8} {'ok' if code == 0 else 'FAILED':6} {seconds:5.0f} s", flush=True)
            if code:
                print(said, flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
