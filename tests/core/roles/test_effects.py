"""A method that makes effects does nothing until its caller takes them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import p2pverify

PACKAGE = Path(p2pverify.__file__).parent


def _makers(tree: ast.Module) -> set[str]:
    """The functions that return `Effects`."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.returns is not None]
    return {each.name for each in functions if ast.unparse(each.returns or each).startswith("Effects[")}


def _forgotten(tree: ast.Module, makers: set[str]) -> Iterator[str]:
    """The calls of these functions whose effects nobody takes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func)
            if called.rpartition(".")[2] in makers:
                yield f"line {node.lineno}: {called}"


def test_no_caller_forgets_to_take_effects() -> None:
    """A call without `yield from` would be no error, and would do nothing."""
    texts = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    trees = {path: ast.parse(text) for path, text in texts.items() if "Effects" in text}
    public = {name for tree in trees.values() for name in _makers(tree) if not name.startswith("_")}
    assert {"tick", "write", "serve"} <= public
    forgotten = {path: list(_forgotten(tree, public | _makers(tree))) for path, tree in trees.items()}
    assert not {path: found for path, found in forgotten.items() if found}


def test_a_forgotten_call_is_found() -> None:
    tree = ast.parse("def tick() -> Effects[None]: ...\ndef act() -> None:\n    tick()\n    self.part.tick()")
    assert list(_forgotten(tree, _makers(tree))) == ["line 3: tick", "line 4: self.part.tick"]
