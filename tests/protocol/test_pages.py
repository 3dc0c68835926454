"""The pages agree with the code: examples, grammar, the rules of judgement, and the texts of reasons."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.contract.network import PARAM_BOUNDS, decode_network
from p2pverify.core.encoding.canon import decode, encode, sha256
from p2pverify.core.errors import GossipIgnore, GossipReject
from p2pverify.core.records.envelope import PAYLOAD_BYTES_MAX, RECORD_BYTES_MAX, decode_record
from p2pverify.core.records.judge import judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.kinds import KINDS
from p2pverify.core.records.payloads.cut import decode_cut

ROOT = Path(__file__).parents[2]
PROTOCOL = ROOT / "protocol"
CORE = ROOT / "p2pverify" / "core"
LINE = re.compile(r"^- \[(REJECT|IGNORE)\] (.*?\.) \((.*)\)$", re.MULTILINE)
RECORD_PAGES = tuple(rule.kind.name.lower().replace("_", "-") for rule in KINDS.values())
GRAMMAR_PAGES = (
    *RECORD_PAGES,
    *("data", "request", "evidence", "rerun", "canary", "endpoint", "lineage", "line", "view", "state", "fork"),
    "training",
    "lora",
    "settle",
    "state-sync",
    "passport",
    "README",
)


def _page(name: str) -> str:
    return (PROTOCOL / f"{name}.md").read_text(encoding="utf-8")


def _blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)\n```", _page(name), re.DOTALL)


def _hex(name: str) -> list[bytes]:
    return [bytes.fromhex(block) for block in _blocks(name, "hex")]


def _cases(path: str) -> list[Any]:
    found: list[Any] = json.loads((PROTOCOL / "vectors" / path).read_text(encoding="utf-8"))
    return found


def _read(notation: str) -> bytes:
    """The CBOR of diagnostic notation (RFC 8949 section 8), as far as the pages use it."""
    tokens = re.findall(r"<<|>>|[\[\],]|h'[0-9a-f]*'|\"[^\"]*\"|-?[0-9a-z]+", re.sub(r" / [a-z-]+ /", "", notation))
    value, rest = _value([token for token in tokens if token != ","])
    assert not rest
    return encode(value)


def _value(tokens: list[str]) -> tuple[Any, list[str]]:
    first, rest = tokens[0], tokens[1:]
    if first == "<<":
        value, rest = _value(rest)
        assert rest[0] == ">>"
        return encode(value), rest[1:]
    if first == "[":
        items = []
        while rest[0] != "]":
            item, rest = _value(rest)
            items.append(item)
        return items, rest[1:]
    if first.startswith("h'"):
        return bytes.fromhex(first[2:-1]), rest
    if first.startswith('"'):
        return first[1:-1], rest
    return {"null": None, "true": True, "false": False}.get(first, first) if first.isalpha() else int(first), rest


@pytest.mark.parametrize("name", RECORD_PAGES)
def test_record_examples(name: str) -> None:
    """A page's example is the first valid vector of its kind, in bytes and in diagnostic notation."""
    (example,) = _hex(name)
    first = _cases(f"{name}/valid.json")[0]["input"]
    assert example.hex() == first["record"]
    (notation,) = _blocks(name, "cbor-diag")
    assert _read(notation) == example
    network = decode_network(bytes.fromhex(first["network"]))
    assert judge(example, Rules(network, network.id, first["epoch_now"])).data == example


def test_stream_examples() -> None:
    """The request page shows a request, its response, and the last frame: each as bytes and in diagnostic notation."""
    request, response, last = _hex("request")
    assert request.hex() == _cases("request/valid.json")[0]["input"]["request"]
    assert response.hex() == _cases("response/valid.json")[0]["input"]["response"]
    assert last.hex() == _cases("answer-stream/valid.json")[0]["input"]["frames"][-1].removeprefix("00")
    assert [_read(notation) for notation in _blocks("request", "cbor-diag")] == [request, response, last]


def test_view_example() -> None:
    """The view page shows the view whose hash is in the cut page's example."""
    view, row = _hex("view")
    assert [_read(notation) for notation in _blocks("view", "cbor-diag")] == [view, row]
    (cut,) = _hex("cut")
    assert decode_cut(decode_record(cut).payload).view_root == sha256(view)


def test_judgement_example() -> None:
    """The example of the judgement page is ignored while its epoch is in the future, and rejected later."""
    (example,) = _hex("judgement")
    network = decode_network(bytes.fromhex(_cases("record/valid.json")[0]["input"]["network"]))
    with pytest.raises(GossipIgnore, match=r"^dated in the future$"):
        judge(example, Rules(network, network.id, 10))
    with pytest.raises(GossipReject, match=r"^bad signature$"):
        judge(example, Rules(network, network.id, 11))


@pytest.mark.parametrize("name", GRAMMAR_PAGES)
def test_pages_quote_the_grammar(name: str) -> None:
    """Every line of grammar on a page is in the grammar, and every page quotes some."""
    grammar = set((PROTOCOL / "p2pverify.cddl").read_text(encoding="utf-8").splitlines())
    quoted = [line for block in _blocks(name, "cddl") for line in block.splitlines()]
    assert quoted
    assert [line for line in quoted if line not in grammar] == []


def _comments() -> list[tuple[str, str]]:
    """The comments of the rules for any record, with the kinds' comments at the check of the payload."""
    judge = (CORE / "records" / "judge.py").read_text(encoding="utf-8")
    modules = dict.fromkeys(rule.check.__module__ for rule in KINDS.values())
    kinds = "".join(_source(module) for module in modules)
    return re.findall(r"^ *# \[(REJECT|IGNORE)\] (.*)$", judge + kinds, re.MULTILINE)


def _source(module: str) -> str:
    """The text of a module of payloads. The checks that several kinds share stand where they are called."""
    text = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    if "lines.signatures import" not in text:
        return text
    shared = (CORE / "records/payloads/lines/signatures.py").read_text(encoding="utf-8")
    return f"{text}\n{shared}"


def test_judgement_lists_the_rules_in_order() -> None:
    """The lines of the judgement page are exactly the comments of the rules, in order."""
    lines = [(verdict, text) for verdict, text, _ in LINE.findall(_page("judgement"))]
    assert len(lines) > 15
    assert lines == _comments()


@pytest.mark.parametrize("name", RECORD_PAGES)
def test_pages_repeat_the_lines_of_their_kind(name: str) -> None:
    """A page's checks are lines of the judgement page, in the same order, with the same reasons."""
    all_lines = LINE.findall(_page("judgement"))
    own = LINE.findall(_page(name))
    section = _page("judgement").split(f", {name}\n", 1)[1].split("\n## ", 1)[0]
    places = [all_lines.index(line) for line in own]
    assert places == sorted(places)
    assert [line for line in LINE.findall(section) if line not in own] == []


def test_reasons_on_pages_have_vectors() -> None:
    """Each constant reason on the judgement page is in a vector."""
    shown = {case["reason"] for path in (PROTOCOL / "vectors").glob("*/invalid.json") for case in _cases_at(path)}
    named = [reason for _, _, text in LINE.findall(_page("judgement")) for reason in re.findall(r"`([^`]*)`", text)]
    assert named
    assert [reason for reason in named if not reason.startswith("malformed") and reason not in shown] == []


def _cases_at(path: Path) -> list[Any]:
    found: list[Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def _texts(module: str) -> set[str]:
    """Texts of a module of the fold that become part of the view: counters, refusals, convictions, faults."""
    tree = ast.parse((CORE / module).read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in {"count", "convict"}:
                found |= _constants(node.args[-1])
            continue
        if isinstance(node, ast.FunctionDef) and node.name.startswith(("refuse", "find_fault", "_build")):
            returned = [each.value for each in ast.walk(node) if isinstance(each, ast.Return) and each.value]
            for value in returned:
                found |= {text for part in ast.walk(value) for text in _constants(part)}
    return {text for text in found if text}


def _constants(node: ast.AST) -> set[str]:
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


@pytest.mark.parametrize(
    "module",
    [
        "state/cuts.py",
        "state/history/datasets.py",
        "state/lines/take.py",
        "state/process.py",
        "state/rounds/phases.py",
        "state/rounds/take.py",
        "state/rules/take.py",
        "state/sponsors.py",
        "state/verdicts/cross_class.py",
        "state/verdicts/disputes.py",
        "state/verdicts/duties.py",
        "state/verdicts/objections.py",
        "state/verdicts/reports.py",
        "state/verdicts/results.py",
        "blind/refusals.py",
        "replica/states.py",
    ],
)
def test_texts_of_the_fold_stand_on_pages(module: str) -> None:
    """Every text of the fold's counters, refusals and convictions is on a page, because it is part of the view."""
    pages = " ".join(" ".join(_page(path.stem).split()) for path in PROTOCOL.glob("*.md"))
    texts = _texts(module)
    assert texts
    assert [text for text in sorted(texts) if f"`{text}`" not in pages] == []


def test_parameters_stand_in_the_grammar() -> None:
    """The contract's parameters have the names, the order and the ranges of the grammar."""
    grammar = (PROTOCOL / "p2pverify.cddl").read_text(encoding="utf-8")
    usual, rated = _parameters(grammar, "parameters"), _parameters(grammar, "rated-parameters")
    *fixed, (name, low, high), _ = PARAM_BOUNDS
    assert usual == fixed
    assert rated == [*fixed, (name, low + 1, high)]  # 0 is left out
    assert _parameters(grammar, "noticed-parameters") == list(PARAM_BOUNDS)
    assert all(f"`{name.replace('_', '-')}`" in _page("network") for name, _, _ in PARAM_BOUNDS)


def _parameters(grammar: str, rule: str) -> list[tuple[str, int, int]]:
    """Name and bounds of each number in a rule of the grammar."""
    body = re.search(rf"^{rule} = \[[^\n]*\n(.*?)\n\]", grammar, re.MULTILINE | re.DOTALL)
    assert body is not None
    rows = re.findall(r"^ *([a-z-]+): (\d+)\.\.(\d+),", body[1], re.MULTILINE)
    return [(name.replace("-", "_"), int(low), int(high)) for name, low, high in rows]


def test_links_lead_somewhere() -> None:
    """Every link to a page or to the grammar has a target file."""
    for path in sorted(PROTOCOL.glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (PROTOCOL / target).is_file(), f"{path.name}: {target}"


def test_examples_stay_within_limits() -> None:
    """Examples are valid in size."""
    for name in RECORD_PAGES:
        (example,) = _hex(name)
        assert len(example) <= RECORD_BYTES_MAX
        assert decode(decode_record(example).payload, size_max=PAYLOAD_BYTES_MAX) is not None
