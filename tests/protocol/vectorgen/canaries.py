"""Cases of canaries: evidence of a peer's answer to a secret prompt, and its result."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vectorgen.case import Case, changed
from vectorgen.examples import MANIFEST, NETWORK

from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.canary import (
    CANARY_EVIDENCE_BYTES_MAX,
    CanaryEvidence,
    decode_canary_evidence,
    judge_evidence,
)
from p2pverify.core.inference.question import RequestRefused, encode_refusal
from tests.support.canaries import TRIGGER, Exchange, canary_manifest, canary_network

COMMITTED = canary_manifest(MANIFEST)
OVER = canary_network(COMMITTED, NETWORK)
RIGHT = Exchange(OVER, COMMITTED)
EVIDENCE = RIGHT.evidence().encode()
#: The values that are hashed for the manifest: the prompt, and the answer of one path.
HIDDEN = encode(["p2pverify/canary-prompt/1", TRIGGER.salt, list(TRIGGER.prompt), TRIGGER.tokens_max])


def _case(comment: str, evidence: CanaryEvidence | bytes, expect: str, reason: str | None = None) -> Case:
    data = evidence if isinstance(evidence, bytes) else evidence.encode()
    try:
        found: tuple[str, str | None] = (judge_evidence(OVER, (COMMITTED,), decode_canary_evidence(data)).verdict, None)
    except DecodeError as error:
        found = ("invalid", error.reason)
    assert found == (expect, reason), f"{comment}: {found}"
    inputs = {"network": OVER.encode().hex(), "manifest": COMMITTED.encode().hex(), "evidence": data.hex()}
    return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}


def _shown(comment: str, expect: str, **changes: Any) -> Case:
    return _case(comment, replace(RIGHT, **changes).evidence(), expect)


def _wrong(comment: str, evidence: CanaryEvidence | bytes, reason: str) -> Case:
    return _case(comment, evidence, "invalid", reason)


def evidence() -> list[Case]:
    value: Any = decode(EVIDENCE, size_max=65_536)
    right = RIGHT.evidence()
    unknown = "the manifest commits to no such trigger"
    return [
        _shown("tokens, finish and logits are those of the class", "match"),
        _shown("a path without logits", "match", tokens=(17, 4093, 5), finish="length", class_index=1, reply=1),
        _shown("another token", "mismatch", tokens=(17, 9, 2)),
        _shown("a token fewer", "mismatch", tokens=(17, 4093)),
        _shown("another finish", "mismatch", finish="length"),
        _shown("equal tokens, other logits", "mismatch", logits=bytes(32)),
        _shown("a class without a committed answer", "cannot tell", class_index=2, reply=None),
        _shown("the class of unknown paths", "cannot tell", class_index=3, reply=None),
        _shown("the answer of the class is not opened", "cannot tell", reply=None),
        _wrong(
            "the answer of another path is opened",
            replace(RIGHT, reply=1).evidence(),
            "the opened answer is not the one that the manifest commits to",
        ),
        _wrong("another salt", replace(right, salt=bytes(32)), unknown),
        _wrong("another prompt", replace(RIGHT, trigger=replace(TRIGGER, prompt=(1, 2))).evidence(), unknown),
        _wrong("another length", replace(RIGHT, trigger=replace(TRIGGER, tokens_max=3)).evidence(), unknown),
        _wrong(
            "asked at temperature 0.8", replace(RIGHT, temperature_milli=800).evidence(),
            "the trigger was not asked greedily",
        ),
        _wrong(
            "a class that there is not",
            replace(RIGHT, class_index=4).evidence(),
            "the receipt names a class that the network does not have",
        ),
        _wrong(
            "another model",
            replace(RIGHT, manifest=MANIFEST).evidence(),
            "the question is for a model that the network does not have",
        ),
        _wrong("another network", replace(RIGHT, network=NETWORK).evidence(), "the request is of another network"),
        _wrong(
            "a refusal",
            replace(right, response=encode_refusal(RequestRefused("busy", "later"))),
            "the response is a refusal, which nobody signs",
        ),
        _wrong(
            "the response to another request",
            replace(right, response=replace(RIGHT, temperature_milli=800).response),
            "the receipt is for another answer",
        ),
        _wrong("another domain", encode(changed(value, 0, "p2pverify/evidence/1")), "not evidence of a canary"),
        _wrong("no reply", encode(value[:4]), "evidence: not 5 items"),
        _wrong("a salt of 31 bytes", encode(changed(value, 3, bytes(31))), "salt: not 32 bytes"),
        _wrong("too many bytes", bytes(CANARY_EVIDENCE_BYTES_MAX + 1), "too long"),
    ]  # fmt: skip


def cases() -> dict[Path, list[Case]]:
    return {Path("canary-evidence"): evidence()}
