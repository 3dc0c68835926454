"""The list of attacks is complete: it has every attack test under its theme, and no other names."""

import ast
import re
from pathlib import Path
from typing import TypeGuard

import tests.attack

HERE = Path(__file__).parent


def test_the_list_is_complete() -> None:
    """The book's list has every attack test exactly once, and nothing else."""
    listed: dict[str, list[str]] = {}
    theme = ""
    for line in (tests.attack.__doc__ or "").splitlines():
        if heading := re.match(r"[A-Z][\w ]+ \(`(test_\w+)`\)", line):
            theme = heading[1]
        elif entry := re.fullmatch(r"  \S.*?  +(test_\w+)", line):
            listed.setdefault(theme, []).append(entry[1])
    written = {
        path.stem: [node.name for node in ast.parse(path.read_text(encoding="utf-8")).body if _is_attack(node)]
        for path in sorted(HERE.glob("test_*.py"))
        if path.stem != Path(__file__).stem
    }
    assert listed == written


def _is_attack(node: ast.stmt) -> TypeGuard[ast.AsyncFunctionDef]:
    return isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")
