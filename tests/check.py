"""The quick check before a commit: `uv run python -m tests.check`. Linters, types, import rules and the fast tests."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FAST = [
    "tests/test_quality.py",
    "tests/test_architecture.py",
    *(f"tests/core/{room}" for room in ("contract", "data", "encoding", "inference", "records", "state")),
    "tests/protocol",
]

if __name__ == "__main__":
    sys.exit(subprocess.run([sys.executable, "-m", "pytest", *FAST], cwd=ROOT, check=False).returncode)
