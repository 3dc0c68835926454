"""Every vector of records, streams and plain functions, run like another implementation."""

import ast
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from p2pverify.core.contract import sortition
from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.network import decode_network
from p2pverify.core.contract.odds import TestSteps as Steps
from p2pverify.core.contract.odds import test_steps as steps_of
from p2pverify.core.contract.output import Output
from p2pverify.core.contract.pool import read_pool
from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.peerid import key_of, peer_id
from p2pverify.core.errors import DecodeError, GossipIgnore, GossipReject
from p2pverify.core.inference import compare, pooled, question, stream
from p2pverify.core.plan import CheckPlan, CheckPlanError
from p2pverify.core.records import envelope, kinds
from p2pverify.core.records.judge import judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.payloads import lots, vote
from p2pverify.core.records.payloads.cut import ledger_root
from p2pverify.core.state.score import cusum, interval_ppm

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "protocol" / "vectors"
KINDS = tuple(kind.name.lower().replace("_", "-") for kind in envelope.Kind)
JUDGED = ("record", *KINDS)


def _load(path: str) -> list[Any]:
    found = []
    for file in sorted(VECTORS.glob(path)):
        cases = json.loads(file.read_text(encoding="utf-8"))
        found += [pytest.param(case, id=f"{file.parent.name}: {case['comment']}") for case in cases]
    return found


def _cases(path: str) -> Iterator[dict[str, Any]]:
    return (param.values[0] for param in _load(path))


def _bytes(case: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(case["input"][name])


@pytest.mark.parametrize("case", [each for kind in JUDGED for each in _load(f"{kind}/*.json")])
def test_judgement(case: dict[str, Any]) -> None:
    """Each record is accepted, ignored or rejected, for the vector's reason."""
    network = decode_network(_bytes(case, "network"))
    rules = Rules(network, network.id, case["input"]["epoch_now"])
    try:
        record = judge(_bytes(case, "record"), rules)
        found: tuple[str, str | None] = ("accept", None)
        assert record.data == _bytes(case, "record")
    except GossipIgnore as refused:
        found = ("ignore", refused.reason)
    except GossipReject as refused:
        found = ("reject", refused.reason)
    assert found == (case["expect"], case["reason"])


@pytest.mark.parametrize("kind", JUDGED)
def test_every_kind_has_both(kind: str) -> None:
    """Each kind of record has vectors that are accepted and several that are not."""
    valid, invalid = list(_cases(f"{kind}/valid.json")), list(_cases(f"{kind}/invalid.json"))
    assert len(valid) >= 3
    assert len(invalid) >= 3
    assert all(case["expect"] == "accept" and case["reason"] is None for case in valid)
    assert all(case["expect"] in {"ignore", "reject"} and case["reason"] for case in invalid)
    found = {envelope.decode_record(_bytes(case, "record")).kind for case in valid}
    assert found == {envelope.Kind["LEAVE" if kind == "record" else kind.upper().replace("-", "_")]}


def _reasons_in_code(module: str, *errors: str) -> set[str]:
    """The constant texts of the errors that a module raises."""
    tree = ast.parse((ROOT / "p2pverify" / "core" / module).read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    found = [c.args[0] for c in calls if isinstance(c.func, ast.Name) and c.func.id in errors and c.args]
    return {each.value for each in found if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def _reasons_in_vectors() -> set[str]:
    return {case["reason"] for case in _cases("*/*.json") if case["reason"]}


def test_every_judgement_has_a_vector() -> None:
    """Every reason for ignoring or rejecting a record is in a vector."""
    checks = {rule.check.__module__.removeprefix("p2pverify.core.") for rule in kinds.KINDS.values()}
    shared = "records.payloads.lines.signatures"
    modules = ["records/judge.py", *(f"{name.replace('.', '/')}.py" for name in sorted({*checks, shared}))]
    raised = {each for module in modules for each in _reasons_in_code(module, "GossipIgnore", "GossipReject")}
    assert len(raised) > 15
    assert raised <= _reasons_in_vectors()


@pytest.mark.parametrize(
    "module",
    [
        "records/envelope.py",
        *(f"records/payloads/{name}.py" for name in ("membership", "audit", "duty", "lots", "cut")),
        *(f"records/payloads/lines/{name}.py" for name in ("release", "recall", "rotation")),
        "records/payloads/settle/pledge.py",
        "settle/cheques.py",
        "contract/history/lines.py",
        "contract/tariff.py",
        "contract/network.py",
        "contract/manifest.py",
        "contract/output.py",
        "inference/question.py",
        "inference/stream.py",
        "encoding/peerid.py",
    ],
)
def test_every_fault_of_form_has_a_vector(module: str) -> None:
    """Every named refusal of the decoders is in a vector."""
    raised = _reasons_in_code(module, "DecodeError")
    assert raised
    whole = _reasons_in_vectors()
    shown = whole | {part for each in whole for part in (each.partition(": ")[2], each.rpartition(": ")[2])}
    assert raised <= shown


@pytest.mark.parametrize("case", _load("network-definition/*.json"))
def test_network_definitions(case: dict[str, Any]) -> None:
    """Each definition gives its network id, or is refused with its reason."""
    if case["expect"] == "accept":
        network = decode_network(_bytes(case, "definition"))
        assert network.id.hex() == case["id"]
        assert network.encode() == _bytes(case, "definition")
    else:
        with pytest.raises(DecodeError) as caught:
            decode_network(_bytes(case, "definition"))
        assert caught.value.reason == case["reason"]


@pytest.mark.parametrize("case", _load("request/*.json"))
def test_requests(case: dict[str, Any]) -> None:
    """Each request is read, or refused with a code and a detail."""
    try:
        request, asked = question.decode_request(_bytes(case, "request"))
        found: tuple[str, str | None] = ("accept", None)
        assert request.question == asked.id
    except question.RequestRefused as refused:
        found = ("refuse", f"{refused.code}: {refused.detail}")
    assert found == (case["expect"], case["reason"])


@pytest.mark.parametrize("case", _load("response/*.json"))
def test_responses(case: dict[str, Any]) -> None:
    """Each response is an answer, a refusal, or invalid with its reason."""
    request, _ = question.decode_request(_bytes(case, "request"))
    found: tuple[str, str | None] = ("answer", None)
    try:
        question.decode_response(_bytes(case, "response"), request)
    except question.RequestRefused as refused:
        found = ("refusal", f"{refused.code}: {refused.detail}")
    except DecodeError as error:
        found = ("invalid", error.reason)
    assert found == (case["expect"], case["reason"])


@pytest.mark.parametrize("case", _load("answer-stream/*.json"))
def test_answer_streams(case: dict[str, Any]) -> None:
    """The frames of each stream give its response, or are refused with the reason at their last one."""
    reader = stream.AnswerReader(case["input"]["tokens_max"])

    def read(frame: str | None) -> bytes:
        data = bytes.fromhex(frame or "")
        if not data:
            reader.restart()
        elif data[0] == 2:
            reader.tokens(data[1:])
        else:
            assert data[0] == 0
            return reader.last(data[1:])
        return b""

    *frames, end = case["input"]["frames"]
    for frame in frames:
        read(frame)
    if case["expect"] == "invalid":
        with pytest.raises(DecodeError) as caught:
            read(end)
        assert caught.value.reason == case["reason"]
    else:
        assert read(end) == bytes.fromhex(case["expect"])


@pytest.mark.parametrize("case", _load("draw/slots.json"))
def test_slots(case: dict[str, Any]) -> None:
    """A VRF output gives these slots, and each slot these targets."""
    params = decode_network(_bytes(case, "network")).params
    beta = _bytes(case, "beta")
    candidates = [bytes.fromhex(key) for key in case["input"]["candidates"]]
    rated = case["input"] if params.audits_per_epoch else {"epochs": 1, "members": 0}
    if params.audits_per_epoch:
        author, start = _bytes(case, "author"), rated["epoch"]
        assert sortition.period_epochs(author, start, rated["members"], params) == rated["epochs"]
    found = sortition.slots(beta, params, epochs=rated["epochs"], members=rated["members"])
    assert len(found) == len(case["expect"])
    for slot, expected in zip(found, case["expect"], strict=True):
        assert [key.hex() for key in sortition.targets(beta, slot, reversed(candidates), params)] == expected["targets"]
        assert [slot.index, slot.at_permille, slot.solo, slot.greedy, slot.across] == [
            expected[name] for name in ("index", "at_permille", "solo", "greedy", "across")
        ]
        assert [slot.prompt_tokens(params), slot.answer_tokens(params), slot.temperature_milli(params)] == [
            expected[name] for name in ("prompt_tokens", "answer_tokens", "temperature_milli")
        ]
        assert slot.prompt_seed.hex() == expected["prompt_seed"]
        assert slot.sample_seed.hex() == expected["sample_seed"]


def _arguments(case: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a function by name, with bytes read from hexadecimal."""
    plain = {"function", "finish"}
    return {
        name: bytes.fromhex(value) if isinstance(value, str) and name not in plain else value
        for name, value in case["input"].items()
    }


def _compute(a: dict[str, Any]) -> Any:
    match a["function"]:
        case "first_beacon":
            return sortition.first_beacon(a["network"])
        case "next_beacon":
            return sortition.next_beacon(a["beacon"], a["beta"])
        case "duty_alpha":
            return sortition.duty_alpha(a["network"], a["epoch"], a["beacon"])
        case "propose_alpha":
            return sortition.propose_alpha(a["network"], a["epoch"], a["beacon"])
        case "proposal_rank":
            return sortition.proposal_rank(a["beta"])
        case "dispute_rank":
            return sortition.dispute_rank(a["challenger"], a["epoch"], a["slot"])
        case "is_spot_check":
            return sortition.is_spot_check(a["beacon"], a["challenger"], a["epoch"], a["slot"], a["permille"])
        case _:
            return _digest(a)


def _digest(a: dict[str, Any]) -> Any:
    match a["function"]:
        case "question":
            tokens = tuple(a["prompt"])
            asked = question.Question(
                a["manifest"], tokens, a["tokens_max"], a["temperature_milli"], a["seed"], a["requester"]
            )
            return {"id": asked.id.hex(), "sampler_key": asked.sampler_key.hex()}
        case "output_digest":
            return Output(tuple(a["tokens"]), a["finish"], a["logits"]).digest(a["question"])
        case "request":
            names = ("network", "requester", "responder", "question", "nonce", "expiry_epoch")
            return question.Request(*(a[name] for name in names)).id
        case "salted_digest":
            return question.salted_digest(a["request"], a["responder"], a["class"], a["output"])
        case "opening_nonce":
            opening = question.Opening(a["slot"], a["class"], a["output"], (a["salt"],))
            where = (a["network"], a["challenger"], a["responder"], a["epoch"], a["question"])
            return question.opening_nonce(*where, opening, 0)
        case "vote_commit":
            key = lots.DisputeKey(a["challenger"], a["epoch"], a["slot"])
            return vote.vote_commit(a["network"], key, a["voter"], a["class"], a["output"], a["salt"])
        case _:
            assert a["function"] == "underivable"
            return vote.UNDERIVABLE


@pytest.mark.parametrize("case", _load("draw/beacons.json") + _load("digests/digests.json"))
def test_digests(case: dict[str, Any]) -> None:
    """Each beacon, VRF input, rank, id, nonce and commit equals the vector's."""
    found = _compute(_arguments(case))
    assert (found.hex() if isinstance(found, bytes) else found) == case["expect"]


@pytest.mark.parametrize("case", _load("compare/measure.json"))
def test_measures(case: dict[str, Any]) -> None:
    """Margins, ends and the requested length give this measure."""
    given = case["input"]
    found = compare.measure(given["deficits"], given["ends"], given["finish"], given["tokens_max"])
    assert found.to_value() == case["expect"]


@pytest.mark.parametrize("case", _load("compare/verdict.json"))
def test_verdicts(case: dict[str, Any]) -> None:
    """A measure and a class's thresholds give this verdict."""
    given = case["input"]
    assert compare.verdict(compare.Measure(*given["measure"]), Across(**given["across"])) == case["expect"]


@pytest.mark.parametrize("case", _load("compare/evidence.json"))
def test_evidence(case: dict[str, Any]) -> None:
    """A measure adds this evidence to the pooled test of its class."""
    given = case["input"]
    bounds = Across(0, 0, 0, 0, given["end_max"], 1, read_pool(given["pool"]))
    assert pooled.evidence(compare.Measure(*given["measure"]), bounds) == case["expect"]


@pytest.mark.parametrize("case", _load("score/capital.json"))
def test_capitals(case: dict[str, Any]) -> None:
    """Evidence changes the capital of the pooled test like this, cut by cut."""
    given, expect = case["input"], case["expect"]
    capital, answers, capitals = pooled.reserve(0), 0, []
    for cut in given["cuts"]:
        capital = pooled.begin(capital, answers, cut["evidence"], is_disputed=cut["disputed"]) + sum(cut["evidence"])
        answers += len(cut["evidence"])
        capitals.append(capital)
    threshold = pooled.threshold(given["conviction_odds"])
    assert {"capitals": capitals, "threshold": threshold, "convicted": max(capitals) >= threshold} == expect


@pytest.mark.parametrize("case", _load("compare/digest.json"))
def test_digests_of_measures(case: dict[str, Any]) -> None:
    """The voted value is this digest of the measures."""
    found = compare.read_measures(case["input"]["measures"], 31)
    assert compare.verdict_digest(_bytes(case, "question"), found).hex() == case["expect"]


@pytest.mark.parametrize("case", _load("score/steps.json"))
def test_steps(case: dict[str, Any]) -> None:
    """The rates of a contract give these integer steps."""
    assert steps_of(**case["input"]) == Steps(**case["expect"])


@pytest.mark.parametrize("case", _load("score/cusum.json"))
def test_cusum(case: dict[str, Any]) -> None:
    """Dissents and agreements change the test like this, cut by cut."""
    given = case["input"]
    made = Steps(given["up"], given["down"], given["threshold"], 0)
    value, values = 0, []
    for dissents, agreements in given["cuts"]:
        value = cusum(value, dissents, agreements, made)
        values.append(value)
    assert values == case["expect"]["values"]
    assert (max(values) >= made.threshold) == case["expect"]["convicted"]


@pytest.mark.parametrize("case", _load("score/interval.json"))
def test_intervals(case: dict[str, Any]) -> None:
    """Agreements and dissents give this interval."""
    low, high = interval_ppm(case["input"]["agreements"], case["input"]["dissents"])
    assert {"low_ppm": low, "high_ppm": high} == case["expect"]


@pytest.mark.parametrize("case", _load("plan/*.json"))
def test_plans(case: dict[str, Any]) -> None:
    """Numbers give these costs and chances, or make no plan for this reason."""
    given = case["input"]
    found: dict[str, Any] | None = None
    reason = None
    try:
        plan = CheckPlan(given["requests"], given["fee"], given["panel"], given["every"])
        outlooks = [asdict(plan.outlook(rate)) for rate in given["rates_ppm"]]
        found = {"checks": plan.checks, "cost": plan.cost, "escrow": plan.escrow, "outlooks": outlooks}
    except CheckPlanError as error:
        reason = str(error)
    assert (found, reason) == (case["expect"], case["reason"])


@pytest.mark.parametrize("case", _load("peerid/*.json"))
def test_peer_ids(case: dict[str, Any]) -> None:
    """Keys and peer ids convert into each other. Other texts are no peer ids."""
    if case["expect"] is None:
        with pytest.raises(DecodeError) as caught:
            key_of(case["input"]["text"])
        assert caught.value.reason == case["reason"]
    else:
        assert peer_id(_bytes(case, "key")) == case["expect"]
        assert key_of(case["expect"]) == _bytes(case, "key")


@pytest.mark.parametrize("case", _load("ledger/root.json"))
def test_ledger_roots(case: dict[str, Any]) -> None:
    """Heads give this Merkle root."""
    heads = [(bytes.fromhex(author), seq, bytes.fromhex(found)) for author, seq, found in case["input"]["heads"]]
    assert ledger_root(heads).hex() == case["expect"]


@pytest.mark.parametrize("case", _load("merkle/inclusion.json"))
def test_inclusion_proofs(case: dict[str, Any]) -> None:
    """A path leads from the leaf to the root, or not."""
    leaf, root = _bytes(case, "leaf"), _bytes(case, "root")
    path = [bytes.fromhex(each) for each in case["input"]["path"]]
    found = merkle.root_of_path(merkle.leaf(leaf), case["input"]["index"], case["input"]["count"], path)
    assert (found == root) == case["expect"]


def test_vectors_are_well_formed() -> None:
    """Every case has its four members, and no file has two cases with one comment."""
    for file in sorted(VECTORS.glob("*/*.json")):
        cases = json.loads(file.read_text(encoding="utf-8"))
        assert cases
        comments = [case["comment"] for case in cases]
        assert len(set(comments)) == len(comments), file.parent.name
        assert all({"comment", "input", "expect", "reason"} <= set(case) for case in cases)
