"""Canaries in vectors, grammar and page agree."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.contract.manifest import decode_manifest
from p2pverify.core.contract.network import decode_network
from p2pverify.core.encoding.canon import decode, encode, sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.canary import decode_canary_evidence, encode_secrets, judge_evidence, prompt_commitment
from tests.support.canaries import TRIGGER
from tests.support.grammar import conforms

PROTOCOL = Path(__file__).parents[2] / "protocol"
PAGE = (PROTOCOL / "canary.md").read_text(encoding="utf-8")


def _cases(name: str) -> list[Any]:
    found: list[Any] = json.loads((PROTOCOL / "vectors/canary-evidence" / name).read_text(encoding="utf-8"))
    return found


ALL = [*_cases("valid.json"), *_cases("invalid.json")]


@pytest.mark.parametrize("case", [pytest.param(case, id=case["comment"]) for case in ALL])
def test_evidence(case: dict[str, Any]) -> None:
    """It shows the result in the vector, or is invalid for the reason in the vector."""
    given = {name: bytes.fromhex(text) for name, text in case["input"].items()}
    network, manifest = decode_network(given["network"]), decode_manifest(given["manifest"])
    try:
        evidence = decode_canary_evidence(given["evidence"])
        assert evidence.encode() == given["evidence"]
        found: tuple[str, str | None] = (judge_evidence(network, (manifest,), evidence).verdict, None)
    except DecodeError as error:
        found = ("invalid", error.reason)
    assert found == (case["expect"], case["reason"])


def test_the_vectors_have_all_outcomes() -> None:
    """Every outcome has a vector, and the reasons on the page are those of vectors."""
    assert {case["expect"] for case in ALL} == {"match", "mismatch", "cannot tell", "invalid"}
    section = " ".join(PAGE.split("## Evidence", 1)[1].split("## What it cannot show", 1)[0].split())
    reasons = set(re.findall(r"`((?:the|not) [^`]+)`", section))
    assert len(reasons) == 8
    assert reasons <= {case["reason"] for case in ALL}


def test_the_grammar_describes_them() -> None:
    """Evidence, secrets and the hashed values conform. With one item replaced, none of them does."""
    prompt = encode(["p2pverify/canary-prompt/1", TRIGGER.salt, list(TRIGGER.prompt), TRIGGER.tokens_max])
    reply = TRIGGER.replies[0]
    answer = encode(["p2pverify/canary-answer/1", TRIGGER.commitment, *reply.to_value()])
    assert sha256(prompt) == TRIGGER.commitment == prompt_commitment(TRIGGER.salt, TRIGGER.prompt, TRIGGER.tokens_max)
    assert sha256(answer) == reply.commitment(TRIGGER.commitment)
    written = {"hidden-prompt": prompt, "hidden-answer": answer, "canary-secrets": encode_secrets([TRIGGER])}
    written["canary-evidence"] = bytes.fromhex(ALL[0]["input"]["evidence"])
    for rule, data in written.items():
        assert conforms(rule, data), rule
        items = decode(data, size_max=65_536)
        assert isinstance(items, list)
        for at in range(len(items)):
            assert not conforms(rule, encode([*items[:at], {}, *items[at + 1 :]])), (rule, at)


def test_the_page_shows_a_prompt_and_the_first_vector() -> None:
    """The examples are the hashed values of the vectors' trigger, and evidence of the right answer."""
    hidden, evidence = (bytes.fromhex(block) for block in re.findall(r"```hex\n(.*?)\n```", PAGE, re.DOTALL))
    assert sha256(hidden) == TRIGGER.commitment
    assert evidence.hex() == ALL[0]["input"]["evidence"]
