"""No decoder is missing: every function with the name of a decoder is registered or exempt."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from p2pverify.core.records.kinds import KINDS
from tests.fuzz.decoders import DECODERS, EXEMPT

PACKAGE = Path(__file__).parents[2] / "p2pverify"
LAYERS = ("core", "node", "net", "store", "engine", "interop", "api")
#: Modules of payloads. Their decoders are registered through the table of kinds.
PAYLOADS = {rule.decode.__module__.removeprefix("p2pverify.") for rule in KINDS.values()}
NAME = re.compile(r"(decode|parse|read|load)(_\w+)?")


def _functions() -> Iterator[str]:
    files = [PACKAGE / "app.py", *(file for layer in LAYERS for file in sorted((PACKAGE / layer).rglob("*.py")))]
    for file in files:
        module = ".".join(file.relative_to(PACKAGE).with_suffix("").parts)
        functions = ast.parse(file.read_text(encoding="utf-8")).body
        for node in (each for each in functions if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)):
            if module in PAYLOADS and node.name.startswith("decode_"):
                continue
            if NAME.fullmatch(node.name):
                yield f"{module}.{node.name}"


def test_every_decoder_is_registered() -> None:
    """Each function of these layers with the name of a decoder is fuzzed, or exempt with a reason."""
    found = set(_functions())
    assert len(found) > 25
    assert found - set(DECODERS) == set(EXEMPT)
    assert all(EXEMPT.values())


def test_every_decoder_has_something_to_begin_with() -> None:
    """At least one seed of each decoder is valid, so mutations of it reach far into the decoder."""
    barren = {name for name, decoder in DECODERS.items() if not any(decoder.check(data) for data in decoder.seeds())}
    assert not barren
