"""Statements of releases and recipes in vectors, grammar and page agree."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.contract.history.recipe import FLOATS, QUANTISATIONS, Convert, Merge, Prune, Quantise, decode_recipe
from p2pverify.core.contract.history.recipe import encode_recipe as encoded
from p2pverify.core.contract.history.release import RELEASE_BYTES_MAX, How, decode_statement
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.engine.gguf.formats import FORMATS
from tests.long.test_lineage import DIGESTS, MERGED
from tests.support.grammar import conforms

PROTOCOL = Path(__file__).parents[2] / "protocol"
PAGE = (PROTOCOL / "lineage.md").read_text(encoding="utf-8")


def _cases(folder: str) -> list[Any]:
    files = [PROTOCOL / "vectors" / folder / name for name in ("valid.json", "invalid.json")]
    return [case for file in files for case in json.loads(file.read_text(encoding="utf-8"))]


RULES = ["format-recipe", "prune-recipe", "merge-recipe"]
STATEMENTS, RECIPES = _cases("release-statement"), _cases("recipe")


@pytest.mark.parametrize("case", [pytest.param(case, id=case["comment"]) for case in STATEMENTS])
def test_statements(case: dict[str, Any]) -> None:
    """A valid statement is encoded to the same bytes; the other ones have the reason of the vector."""
    data = bytes.fromhex(case["input"]["statement"])
    if case["expect"] == "reject":
        with pytest.raises(DecodeError, match=f"^{re.escape(case['reason'])}$"):
            decode_statement(data)
        return
    network, release = decode_statement(data)
    assert release.statement(network) == data


@pytest.mark.parametrize("case", [pytest.param(case, id=case["comment"]) for case in RECIPES])
def test_recipes(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["input"]["recipe"])
    if case["expect"] == "reject":
        with pytest.raises(DecodeError, match=f"^{re.escape(case['reason'])}$"):
            decode_recipe(data)
        return
    assert encoded(decode_recipe(data)) == data


def test_half_of_the_vectors_are_invalid() -> None:
    """And every way of making, and every tool, has a valid one."""
    for cases in (STATEMENTS, RECIPES):
        assert 0.4 < sum(case["expect"] == "reject" for case in cases) / len(cases) < 0.75
    good = [bytes.fromhex(case["input"]["statement"]) for case in STATEMENTS if case["expect"] == "accept"]
    assert {decode_statement(data)[1].how for data in good} == set(How)
    found = [bytes.fromhex(case["input"]["recipe"]) for case in RECIPES if case["expect"] == "accept"]
    assert {type(decode_recipe(data)) for data in found} == {Quantise, Prune, Convert, Merge}


def test_the_grammar_describes_them() -> None:
    """Valid ones conform to exactly one rule. With one item replaced or left out, none does."""
    for rules, cases in ((["release-statement"], STATEMENTS), (RULES, RECIPES)):
        good = [bytes.fromhex(*case["input"].values()) for case in cases if case["expect"] == "accept"]
        for data in good:
            assert [conforms(rule, data) for rule in rules].count(True) == 1
            items = decode(data, size_max=RELEASE_BYTES_MAX)
            assert isinstance(items, list)
            for at in range(len(items)):
                for changed in ([*items[:at], {}, *items[at + 1 :]], items[:at] + items[at + 1 :]):
                    assert not any(conforms(rule, encode(changed)) for rule in rules)


def test_the_page_shows_the_first_vectors() -> None:
    shown = [bytes.fromhex(block) for block in re.findall(r"```hex\n(.*?)\n```", PAGE, re.DOTALL)]
    assert [data.hex() for data in shown] == [STATEMENTS[0]["input"]["statement"], RECIPES[0]["input"]["recipe"]]


def test_the_page_names_tools_formats_and_digests() -> None:
    """The tables have every tool with its `how`, every format, and the digests that the long tests pin."""
    for how in How:
        assert f"| {int(how)} | {how.name.lower().replace('_', '-')} |" in PAGE
    for tool in (Quantise, Prune, Convert, Merge):
        assert f"| `{tool.TOOL}` |" in PAGE
    for name in (*QUANTISATIONS, *FLOATS):
        assert f"{FORMATS[name].file_type} (`{name}`)" in PAGE
    for digest in (*DIGESTS.values(), MERGED):
        assert f"`{digest}`" in PAGE
