"""Any bytes get one of three verdicts, and cheap checks come before expensive ones."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.contract.network import decode_network
from p2pverify.core.contract.sortition import duty_alpha, vrf_holds
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.errors import DecodeError, GossipIgnore, GossipReject
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, decode_record, make_record
from p2pverify.core.records.judge import EPOCHS_AHEAD_MAX, judge
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.kinds import conflict_kind
from p2pverify.core.records.payloads.audit import decode_audit
from p2pverify.core.records.payloads.conflict import Evidence
from p2pverify.core.records.payloads.cut import decode_cut
from p2pverify.core.records.payloads.duty import decode_duty
from p2pverify.core.records.payloads.vote import decode_commit, decode_vote

VECTORS = Path(__file__).parents[3] / "protocol" / "vectors"
KINDS = [kind.name.lower().replace("_", "-") for kind in Kind]
ALICE = bytes(range(32))
KEY = sign.public_key(ALICE)
EXAMPLES = 25  # for each kind; `tests/fuzz` tries the decoders of payloads alone


def _cases(kind: str, name: str = "valid") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((VECTORS / kind / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _rules(case: dict[str, Any]) -> Rules:
    network = decode_network(bytes.fromhex(case["input"]["network"]))
    return Rules(network, network.id, case["input"]["epoch_now"])


GIVEN = {kind: _cases(kind)[0] for kind in KINDS}
RULES = _rules(GIVEN["leave"])


def _data(kind: str) -> bytes:
    return bytes.fromhex(GIVEN[kind]["input"]["record"])


def _record(kind: Kind, payload: bytes, *, epoch: int = 3, network: bytes = RULES.network_id) -> Record:
    return make_record(ALICE, KEY, network, epoch=epoch, seq=0, prev=NO_PREV, kind=kind, payload=payload)


def _reason(data: bytes, given_: Rules = RULES) -> str:
    with pytest.raises((GossipIgnore, GossipReject)) as caught:
        judge(data, given_)
    return caught.value.reason


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_records(kind: str) -> None:
    """A changed record is ignored or rejected with a reason. No change is unnoticed, and no other error occurs."""
    good = _data(kind)
    given_ = _rules(GIVEN[kind])

    @given(st.data())
    @settings(deadline=None, max_examples=EXAMPLES)
    def check(data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(good) - 1))
        mutated = good[:at] + data.draw(st.binary(max_size=2)) + good[at + data.draw(st.integers(0, 2)) :]
        if mutated != good:
            assert _reason(mutated, given_)

    check()


@pytest.mark.parametrize("kind", Kind)
def test_any_signed_payload(kind: Kind) -> None:
    """A signed record with any bytes as its payload gets a verdict without other errors."""

    @given(st.binary(max_size=60) | st.recursive(st.none() | st.integers(0, 9) | st.binary(max_size=33), st.lists))
    @settings(deadline=None, max_examples=EXAMPLES)
    def check(payload: Any) -> None:
        data = payload if isinstance(payload, bytes) else encode(payload)
        try:
            judge(_record(kind, data).data, RULES)
        except (DecodeError, GossipIgnore, GossipReject):  # a cut without heads has no body, so nobody can sign it
            pass
        else:
            assert (kind, data) == (Kind.LEAVE, b"\x80") or kind == Kind.CUT_SIGNATURE

    check()


@given(st.binary(max_size=200))
@settings(deadline=None, max_examples=100)
def test_any_bytes(data: bytes) -> None:
    """Bytes that are no record are rejected."""
    with pytest.raises(GossipReject):
        judge(data, RULES)


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_stays_what_it_is(kind: str) -> None:
    """An accepted record is accepted again, also later, and equals the decoded record."""
    given_ = _rules(GIVEN[kind])
    later = Rules(given_.network, given_.network_id, 10**9)
    assert judge(_data(kind), given_) == judge(_data(kind), later) == decode_record(_data(kind))


def test_cheap_checks_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """No signature is verified for a record that is too large, malformed, foreign, early, unknown or ill-formed."""

    def verify(*_: object) -> bool:
        raise AssertionError("verified too early")

    monkeypatch.setattr(sign, "verify", verify)
    assert _reason(bytes(70_000)) == "record too large"
    assert _reason(b"\x80") == "malformed record: record: not 3 items"
    assert _reason(_record(Kind.LEAVE, b"\x80", network=bytes(32)).data) == "wrong network"
    assert _reason(_record(Kind.LEAVE, b"\x80", epoch=10**6).data) == "dated in the future"
    assert _reason(_record(200, b"").data) == "unknown kind"  # type: ignore[arg-type]  # of a later version
    assert _reason(_record(Kind.LEAVE, b"\x81\x00").data) == "malformed leave: leave: not 0 items"
    with pytest.raises(AssertionError, match="too early"):
        judge(_record(Kind.LEAVE, b"\x80").data, RULES)


@given(st.integers(-5, 50), st.integers(0, 60))
@settings(deadline=None, max_examples=60)
def test_the_clock_is_the_only_context_of_an_epoch(now: int, epoch: int) -> None:
    """A record is early exactly if it is more than one epoch ahead of a clock that never shows less than 0."""
    data = _record(Kind.LEAVE, b"\x80", epoch=epoch).data
    given_ = Rules(RULES.network, RULES.network_id, now)
    if epoch > max(now, 0) + EPOCHS_AHEAD_MAX:
        assert _reason(data, given_) == "dated in the future"
    else:
        assert judge(data, given_).epoch == epoch


def test_what_depends_on_context_is_never_rejected() -> None:
    """The ignored vectors are exactly those that are early, of an unknown kind, or of an unlisted model."""
    contextual = {"dated in the future", "unknown kind", "manifest is not in the network file"}
    for kind in ("record", *KINDS):
        for case in _cases(kind, "invalid"):
            assert (case["reason"] in contextual) == (case["expect"] == "ignore")


def _evidence(kind: Kind, payload: bytes | None, *, seq: int) -> Evidence:
    said = (_payload("cut") if kind is Kind.CUT else b"") if payload is None else payload
    made = make_record(ALICE, KEY, RULES.network_id, epoch=30, seq=seq, prev=sha256(b"before"), kind=kind, payload=said)
    return Evidence(made.header, made.signature, payload)


def _payload(kind: str) -> bytes:
    return decode_record(_data(kind)).payload


def _said_again() -> dict[Kind, tuple[bytes, bytes]]:
    """For each kind with slots: a payload, and another payload for the same slot."""
    commit, vote = decode_commit(_payload("vote-commit")), decode_vote(_payload("vote"))
    duty, cut = decode_duty(_payload("duty")), decode_cut(_payload("cut"))
    audit = decode_audit(_payload("audit"), RULES.network_id, KEY)
    return {
        Kind.AUDIT: (audit.encode(), replace(audit, differ=not audit.differ).encode()),
        Kind.DUTY: (duty.encode(), replace(duty, openings=()).encode()),
        Kind.VOTE_COMMIT: (commit.encode(), replace(commit, commit=sha256(b"other")).encode()),
        Kind.VOTE: (vote.encode(), replace(vote, output=sha256(b"other")).encode()),
        Kind.CUT: (cut.encode(), replace(cut, moved=()).encode()),
    }


@pytest.mark.parametrize("kind", [Kind.AUDIT, Kind.DUTY, Kind.VOTE_COMMIT, Kind.VOTE, Kind.CUT])
def test_two_claims_on_one_slot(kind: Kind) -> None:
    """They conflict for any record numbers. A repeat does not conflict. Without payloads only the numbers count."""
    one, two = _said_again()[kind]
    assert conflict_kind(_evidence(kind, one, seq=1), _evidence(kind, two, seq=2)) == "slot"
    assert conflict_kind(_evidence(kind, one, seq=1), _evidence(kind, two, seq=1)) == "slot"
    assert conflict_kind(_evidence(kind, one, seq=1), _evidence(kind, one, seq=2)) is None
    assert conflict_kind(_evidence(kind, one, seq=1), _evidence(kind, None, seq=2)) is None
    assert conflict_kind(_evidence(kind, one, seq=1), _evidence(kind, None, seq=1)) == "fork"


def test_a_repeat_may_cite_a_later_certificate() -> None:
    """A commit or vote that is repeated with another certificate makes the same claim."""
    commit, vote = decode_commit(_payload("vote-commit")), decode_vote(_payload("vote"))
    later = sha256(b"later")
    pairs = [
        (Kind.VOTE_COMMIT, commit.encode(), replace(commit, certificate=later).encode()),
        (Kind.VOTE, vote.encode(), replace(vote, certificate=later).encode()),
    ]
    for kind, one, two in pairs:
        assert conflict_kind(_evidence(kind, one, seq=1), _evidence(kind, two, seq=2)) is None
        assert conflict_kind(_evidence(kind, one, seq=1), _evidence(kind, two, seq=1)) == "fork"


def test_claims_on_two_slots_can_stand() -> None:
    """Another dispute, epoch or kind is another slot. Kinds without slots can only fork."""
    commit, duty = decode_commit(_payload("vote-commit")), decode_duty(_payload("duty"))
    other = replace(commit, dispute=replace(commit.dispute, slot=commit.dispute.slot + 1)).encode()
    sides = [
        _evidence(Kind.VOTE_COMMIT, commit.encode(), seq=1),
        _evidence(Kind.VOTE_COMMIT, other, seq=2),
        _evidence(Kind.VOTE, _payload("vote"), seq=3),
        _evidence(Kind.DUTY, duty.encode(), seq=4),
        _evidence(Kind.DUTY, replace(duty, epoch=duty.epoch + 1).encode(), seq=5),
        _evidence(Kind.JOIN, _payload("join"), seq=6),
    ]
    for one, two in itertools.combinations(sides, 2):
        assert conflict_kind(one, two) is None
    assert conflict_kind(_evidence(Kind.JOIN, b"", seq=6), sides[-1]) == "fork"


def test_vrf_answers_are_remembered_by_all_arguments() -> None:
    """The cached result of a valid proof is not used for another input or key."""
    record = decode_record(_data("duty"))
    duty = decode_duty(record.payload)
    alpha = duty_alpha(record.header.network, duty.epoch, duty.beacon)
    assert vrf_holds(duty.vrf_key, alpha, duty.proof)
    assert not vrf_holds(duty.vrf_key, alpha + b"\0", duty.proof)
    assert not vrf_holds(sha256(b"key"), alpha, duty.proof)
    assert vrf_holds(duty.vrf_key, alpha, duty.proof)
