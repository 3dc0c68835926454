"""Cases of evidence of endpoints: files, their conclusions, and the reasons of other files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vectorgen.case import Case

from p2pverify.core.contract.classes import Across
from p2pverify.core.encoding.canon import decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.compare import Measure
from p2pverify.core.inference.endpoint import (
    Api,
    AuditPlan,
    EndpointAnswer,
    EndpointEvidence,
    Reading,
    conclude,
    decode_endpoint_evidence,
)
from tests.support.endpoints import BOUNDS, toy_manifest

PLAN = AuditPlan(Api.CHAT, 12, 16, 8, "Be brief.", bytes(range(16)))
MATCH = EndpointAnswer(
    "Hi", (1, 72, 105, 2), Reading.TOKENS, "Yes", (89, 101, 115, 0), "stop", Measure(4, 100, 9, 3), 4
)
NEAR = replace(MATCH, measure=Measure(4, 60_000, 200_000, 3))
FAR = replace(MATCH, measure=Measure(4, 900_000, 900_000, 3))
CUT = replace(MATCH, measure=Measure(4, 0, 0, 600_000))
TEXT = replace(MATCH, reading=Reading.TEXT, counted=None)
FAILED = EndpointAnswer("Hi", (1, 72, 105, 2), Reading.NONE, "", reason="the server does not answer in time")


def evidence_of(*answers: EndpointAnswer, plan: AuditPlan = PLAN, bounds: Across = BOUNDS) -> EndpointEvidence:
    found = conclude([answer.measure for answer in answers], BOUNDS, plan.requests)
    manifest = toy_manifest(bounds).encode()
    return EndpointEvidence(
        manifest, "toy-exact/1", "http://192.0.2.1/v1", "toy", 1_796_000_000_000, plan, answers, found
    )


def _case(comment: str, data: bytes, reason: str | None = None) -> Case:
    expect: object = None
    try:
        expect, found = decode_endpoint_evidence(data).conclusion.to_value(), None
    except DecodeError as error:
        found = error.reason
    assert found == reason, f"{comment}: {found}"
    return {"comment": comment, "input": {"evidence": data.hex()}, "expect": expect, "reason": reason}


def _changed(at: tuple[int, ...], item: object) -> bytes:
    top: Any = decode(evidence_of(MATCH, FAILED, TEXT).encode(), size_max=65_536)
    place = top
    for step in at[:-1]:
        place = place[step]
    place[at[-1]] = item
    return encode(top)


def files() -> list[Case]:
    unlike = "the conclusion does not follow from the measures"
    longer, some = replace(PLAN, requests=60), [*[MATCH] * 30, FAR, *[MATCH] * 9]
    corpus = replace(PLAN, api=Api.COMPLETIONS, corpus=bytes(32), system="")
    return [
        _case("no question was asked", evidence_of().encode(), "no question was asked"),
        _case("every answer matches", evidence_of(*[MATCH] * 12).encode()),
        _case("by tokens and by text, and one without an answer", evidence_of(MATCH, FAILED, TEXT).encode()),
        _case("completions, and questions from a corpus", evidence_of(MATCH, plan=corpus).encode()),
        _case("one mismatch in a finished plan", evidence_of(*[MATCH] * 11, FAR).encode()),
        _case("one mismatch in a plan that was not finished: no bound", evidence_of(*some, plan=longer).encode()),
        _case("near the match line: nothing can be said", evidence_of(NEAR, NEAR, NEAR).encode()),
        _case("nothing is judged", evidence_of(FAILED).encode()),
        _case("more than half are not judged", evidence_of(MATCH, FAILED, FAILED).encode()),
        _case("five mismatches in a row accuse", evidence_of(*[FAR] * 5).encode()),
        _case("answers that are cut accuse too", evidence_of(*[CUT] * 5).encode()),
        _case("matches before mismatches", evidence_of(*[MATCH] * 6, *[FAR] * 5).encode()),
        _case("a question after the end", evidence_of(*[FAR] * 5, MATCH).encode(), "there are questions after the end"),
        _case("another verdict", _changed((8, 0), "mismatch"), unlike),
        _case("another capital", _changed((8, 3), 0), unlike),
        _case("another bound", _changed((8, 4), 1), unlike),
        _case("another measure", _changed((7, 0, 6), [4, 900_000, 9, 3]), unlike),
        _case("another domain", _changed((0,), "p2pverify/canary-evidence/1"), "not evidence of an endpoint"),
        _case(
            "a referee without thresholds", _changed((2,), "exact/1"),
            "the manifest has no thresholds of this referee for unknown paths",
        ),
        _case(
            "thresholds without a pool", evidence_of(MATCH, bounds=replace(BOUNDS, pool=None)).encode(),
            "the manifest has no thresholds of this referee for unknown paths",
        ),
        _case("no requests", _changed((6, 1), 0), "the plan asks for nothing"),
        _case("more answers than requests", _changed((6, 1), 2), "answers: more than 2 items"),
        _case("an unknown interface", _changed((6, 0), "mail"), "unknown api"),
        _case("a seed of 15 bytes", _changed((6, 5), bytes(15)), "seed: not 16 bytes"),
        _case("an empty prompt", _changed((7, 0, 1), []), "a prompt is empty"),
        _case("two tokens too many", _changed((7, 0, 4), [3] * 10), "tokens: more than 9 items"),
        _case("a measure of other tokens", _changed((7, 0, 4), [3]), "a measure counts other tokens"),
        _case("tokens without a measure", _changed((7, 0, 6), None), "an answer is judged in part"),
        _case("a measure without tokens", _changed((7, 0, 2), "none"), "an answer is judged in part"),
        _case("a reason too many", _changed((7, 0, 8), "no"), "the reason is missing, or there is one too many"),
        _case("no reason", _changed((7, 1, 8), ""), "the reason is missing, or there is one too many"),
        _case("a byte too many", evidence_of(MATCH).encode() + b"\0", "trailing bytes"),
        _case("too many bytes", b"\x80" * 9, "trailing bytes"),
    ]  # fmt: skip


def cases() -> dict[Path, list[Case]]:
    return {Path("endpoint-evidence"): files()}
