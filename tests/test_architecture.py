"""The structure of the tree: small folders, unique names, and imports without circles."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "p2pverify"
MODULES_MAX = 13

#: Public classes that share a name, each with the reason why both keep it.
SHARED_NAMES: dict[str, str] = {
    "Client": "users import the Python API's; that of the desk is whom a node answers",
    "Prune": "a step of a recipe makes a model smaller; the effect of a machine makes a disk smaller",
    "Shelf": "that of a ledger keeps its records; that of a node keeps its engines",
    "Reply": "users get the Python API's; that of the ports is a peer's bytes",
}


@cache
def _modules() -> tuple[tuple[str, ast.Module], ...]:
    """Each module of the package, by name."""
    return tuple(
        (
            ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"),
            ast.parse(path.read_text(encoding="utf-8")),
        )
        for path in sorted(PACKAGE.rglob("*.py"))
    )


@pytest.mark.parametrize("top", ["p2pverify"])
def test_no_folder_has_too_many_modules(top: str) -> None:
    """A folder with more modules than a reader can survey should be split."""
    counts = Counter(path.parent for path in (ROOT / top).rglob("*.py") if path.name != "__init__.py")
    assert {str(folder.relative_to(ROOT)): n for folder, n in counts.items() if n > MODULES_MAX} == {}


def test_every_folder_says_what_it_holds() -> None:
    """Each package of the program begins with a docstring."""
    assert [name for name, tree in _modules() if not ast.get_docstring(tree)] == []


def test_public_classes_have_names_of_their_own() -> None:
    """Two classes with one name cannot be distinguished, so each pair needs a reason here."""
    found: dict[str, list[str]] = defaultdict(list)
    for module, tree in _modules():
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(module)
    twice = {name: modules for name, modules in found.items() if len(modules) > 1}
    assert {name: modules for name, modules in twice.items() if name not in SHARED_NAMES} == {}
    assert SHARED_NAMES.keys() <= twice.keys()


def test_no_imports_go_in_a_circle() -> None:
    """This holds at run time and with imports for type checkers."""
    trees = dict(_modules())
    graph = {name: sorted(_imports(tree, set(trees)) - {name}) for name, tree in trees.items()}
    done: set[str] = set()
    for start in sorted(graph):
        circle = _circle(start, graph, done)
        assert circle is None, " -> ".join(circle or ())


def _imports(tree: ast.Module, known: Iterator[str] | set[str]) -> set[str]:
    """The modules of the package that a module imports, anywhere in its code."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {
                f"{node.module}.{a.name}" if f"{node.module}.{a.name}" in known else node.module for a in node.names
            }
        elif isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
    return found & set(known)


def _circle(start: str, graph: dict[str, list[str]], done: set[str]) -> list[str] | None:
    """An import path from a module back to itself that begins at `start`, or None."""
    path: list[str] = []
    todo = [(start, False)]
    while todo:
        module, leaving = todo.pop()
        if leaving:
            path.pop()
            done.add(module)
        elif module in path:
            return [*path[path.index(module) :], module]
        elif module not in done:
            path.append(module)
            todo.append((module, True))
            todo += [(other, False) for other in graph[module]]
    return None
