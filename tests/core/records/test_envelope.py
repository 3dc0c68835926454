"""Records are read back as written, and all other bytes are refused."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.blind.committees import STAGE_MAX
from p2pverify.core.contract.network import PARAM_BOUNDS
from p2pverify.core.contract.shapes import ANSWER_TOKENS_MAX
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import digest, encode, sha256
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.compare import TOTAL_MAX, Measure
from p2pverify.core.inference.question import CONTEXT_TOKENS_MAX, Opening, Receipt
from p2pverify.core.records import envelope
from p2pverify.core.records.envelope import (
    EPOCH_MAX,
    NO_PREV,
    PAYLOAD_BYTES_MAX,
    RECORD_BYTES_MAX,
    SEQ_MAX,
    Header,
    Kind,
    Record,
    body_of,
    decode_record,
    make_record,
)
from p2pverify.core.records.payloads import cut, membership, vote
from p2pverify.core.records.payloads.audit import AskedPeer, Audit, decode_audit
from p2pverify.core.records.payloads.conflict import Conflict, Evidence, decode_conflict
from p2pverify.core.records.payloads.cut import HEADS_MAX, Cut, CutSignature
from p2pverify.core.records.payloads.duty import Duty, decode_duty
from p2pverify.core.records.payloads.lots import DisputeKey, Lot
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.records.payloads.vote import ASKED_MAX, Commit, Vote

ALICE = bytes(range(32))
KEY = sign.public_key(ALICE)
NETWORK = sha256(b"network")

digests = st.binary(min_size=32, max_size=32)
epochs = st.integers(0, EPOCH_MAX)
disputes = st.builds(DisputeKey, digests, epochs, st.integers(0, 255))
salts = st.lists(digests, max_size=ASKED_MAX).map(tuple)
heads = st.dictionaries(digests, st.tuples(st.integers(0, SEQ_MAX), digests), max_size=6).map(
    lambda found: tuple((author, *found[author]) for author in sorted(found))
)
uint32s = st.integers(0, 2**32 - 1)
measured = st.builds(Measure, st.integers(0, ANSWER_TOKENS_MAX), st.integers(0, TOTAL_MAX), uint32s, uint32s)
measures = st.lists(st.none() | measured, max_size=ASKED_MAX).map(tuple)
lots = st.none() | st.builds(Lot, st.integers(1, STAGE_MAX), digests, digests, st.binary(min_size=80, max_size=80))
commits = st.builds(Commit, disputes, digests, digests, lots)
votes = st.builds(Vote, disputes, digests, st.integers(0, 31), digests, salts, measures, st.none() | digests)
cuts = st.builds(Cut, epochs, digests, digests, st.binary(min_size=80, max_size=80), heads, *[digests] * 3)
CODECS: list[tuple[Any, Any]] = [
    (commits, vote.decode_commit),
    (votes, vote.decode_vote),
    (cuts, cut.decode_cut),
    (st.builds(CutSignature, digests), cut.decode_cut_signature),
]


def _record(payload: bytes = b"\x80", *, seq: int = 3, kind: Kind = Kind.LEAVE) -> Record:
    prev = NO_PREV if seq == 0 else sha256(b"before")
    return make_record(ALICE, KEY, NETWORK, epoch=5, seq=seq, prev=prev, kind=kind, payload=payload)


@given(st.binary(max_size=300), epochs, st.integers(0, SEQ_MAX), st.sampled_from(sorted({*Kind} - {Kind.CUT})))
@settings(deadline=None, max_examples=60)
def test_round_trip(payload: bytes, epoch: int, seq: int, kind: Kind) -> None:
    """A record is read back equal, signed, and with the id of its header."""
    prev = NO_PREV if seq == 0 else sha256(b"before")
    made = make_record(ALICE, KEY, NETWORK, epoch=epoch, seq=seq, prev=prev, kind=kind, payload=payload)
    found = decode_record(made.data)
    assert found == made
    assert found.is_signed()
    assert found.id == sha256(found.header.encode())
    assert (found.author, found.epoch, found.seq, found.kind) == (KEY, epoch, seq, kind)


@given(cuts, cuts)
@settings(deadline=None, max_examples=60)
def test_the_body_of_a_cut_follows_from_the_digest_of_its_heads(one: Cut, other: Cut) -> None:
    """So a proof of a cut needs no heads. Other heads still make another body."""
    fields: list[Any] = [one.epoch, one.base, one.vrf_key, one.proof, digest(list(map(list, one.moved)))]
    fields += [one.ledger_root, one.view_root, one.state_root]
    made = _record(one.encode(), kind=Kind.CUT)
    assert decode_record(made.data) == made
    assert made.header.body == digest(fields)
    assert (made.header.body == _record(other.encode(), kind=Kind.CUT).header.body) == (one == other)


@pytest.mark.parametrize("payload", [b"", b"\x80", encode([1, 2, 3, 4, b"heads", 6, 7]), encode([1, 2, 3, 4, [], 6])])
def test_a_cut_without_heads_has_no_body(payload: bytes) -> None:
    """The digest of the heads in their place would otherwise be a second payload with the same body."""
    with pytest.raises(DecodeError):
        body_of(Kind.CUT, payload)


@pytest.mark.parametrize(("values", "decoder"), CODECS, ids=["commit", "vote", "cut", "cut signature"])
def test_payloads_round_trip(values: Any, decoder: Any) -> None:
    """A payload is read back equal."""

    @given(values)
    @settings(deadline=None, max_examples=60)
    def check(value: Any) -> None:
        assert decoder(value.encode()) == value

    check()


@pytest.mark.parametrize(("values", "decoder"), CODECS, ids=["commit", "vote", "cut", "cut signature"])
def test_mutated_payloads(values: Any, decoder: Any) -> None:
    """Bytes near a payload are the only encoding of another payload, or raise DecodeError."""

    @given(values, st.data())
    @settings(deadline=None, max_examples=100)
    def check(value: Any, data: st.DataObject) -> None:
        encoded = value.encode()
        at = data.draw(st.integers(0, len(encoded)))
        mutated = encoded[:at] + data.draw(st.binary(max_size=2)) + encoded[at + data.draw(st.integers(0, 2)) :]
        try:
            found = decoder(mutated)
        except DecodeError:
            pass
        else:
            assert found.encode() == mutated

    check()


@given(st.data())
@settings(deadline=None, max_examples=100)
def test_mutated_records(data: st.DataObject) -> None:
    """Any change to a record's bytes gives no record, or a record with a wrong signature."""
    made = _record(encode([1, 2, 3]))
    at = data.draw(st.integers(0, len(made.data) - 1))
    mutated = made.data[:at] + data.draw(st.binary(max_size=2)) + made.data[at + data.draw(st.integers(0, 2)) :]
    try:
        found = decode_record(mutated)
    except DecodeError:
        pass
    else:
        assert found.data == mutated
        assert (mutated == made.data) == found.is_signed()


@given(st.binary(max_size=120))
@settings(deadline=None, max_examples=100)
def test_any_bytes(data: bytes) -> None:
    """Any bytes raise only DecodeError, in every decoder."""
    decoders = [decode_record, membership.decode_join, membership.decode_leave, decode_conflict]
    for decoder in [*decoders, *(decoder for _, decoder in CODECS)]:
        with contextlib.suppress(DecodeError):
            decoder(data)


def test_id_does_not_cover_the_signature() -> None:
    """Another signature gives the same record id but no valid record."""
    made = _record()
    other = decode_record(encode([made.header.to_value(), bytes(64), made.payload]))
    assert other.id == made.id
    assert not other.is_signed()


def test_largest_record() -> None:
    """A record with the largest payload is within the limit of records. One byte more is refused."""
    assert len(_record(bytes(PAYLOAD_BYTES_MAX)).data) <= RECORD_BYTES_MAX
    with pytest.raises(DecodeError, match="payload: longer than"):
        decode_record(_record(bytes(PAYLOAD_BYTES_MAX + 1)).data)


def test_largest_cut_fits() -> None:
    """A cut with the most heads and the longest numbers fits into one record."""
    many = tuple((number.to_bytes(32, "big"), SEQ_MAX, bytes(32)) for number in range(HEADS_MAX))
    largest = Cut(EPOCH_MAX, bytes(32), bytes(32), bytes(80), many, bytes(32), bytes(32), bytes(32))
    assert len(largest.encode()) <= PAYLOAD_BYTES_MAX
    assert cut.decode_cut(largest.encode()) == largest


def test_what_a_full_panel_says_fits() -> None:
    """Audit, duty and vote of the largest panel fit into a record, with as many slots as a contract can ask for."""
    bounds = {name: high for name, _, high in PARAM_BOUNDS}
    size = bounds["panel_size"]
    slots = -(-bounds["slots_milli"] // 1000)
    worst = Measure(ANSWER_TOKENS_MAX, TOTAL_MAX, 2**32 - 1, 2**32 - 1)
    receipt = Receipt(NETWORK, KEY, NETWORK, 31, NETWORK, CONTEXT_TOKENS_MAX, 2**32, 2**32, 2**32, bytes(64))
    asked = tuple(AskedPeer(bytes([which]) * 32, bytes([which]) * 32, receipt, 2**32 - 1) for which in range(size))
    audit = Audit(KEY, EPOCH_MAX, 255, NETWORK, NETWORK, 2**63 - 1, True, asked, NETWORK)
    salts = (bytes(32),) * size
    openings = tuple(Opening(slot, 31, NETWORK, salts, (worst,) * size) for slot in range(slots))
    duty = Duty(EPOCH_MAX, NETWORK, NETWORK, KEY, bytes(80), openings)
    largest = Vote(DisputeKey(KEY, EPOCH_MAX, 255), NETWORK, 31, NETWORK, salts, (worst,) * size, NETWORK)
    assert decode_duty(duty.encode()) == duty
    assert vote.decode_vote(largest.encode()) == largest
    sizes = [len(each.encode()) for each in (audit, duty, largest)]
    assert max(sizes) <= PAYLOAD_BYTES_MAX
    assert len(decode_audit(audit.encode(), NETWORK, KEY).asked) == size


def test_join_needs_a_valid_point() -> None:
    """A VRF key of small order is refused. A real key is accepted."""
    key = vrf.public_key(vrf.derive_seed(ALICE))
    assert membership.decode_join(Join(31, key).encode()) == Join(31, key)
    with pytest.raises(DecodeError, match="not a valid point"):
        membership.decode_join(Join(0, bytes(32)).encode())


def test_dispute_order_is_by_epoch_first() -> None:
    """Disputes are ordered by epoch, then challenger, then slot."""
    keys = [DisputeKey(b"b", 1, 0), DisputeKey(b"a", 2, 0), DisputeKey(b"a", 2, 1), DisputeKey(b"c", 2, 0)]
    assert sorted((keys[2], keys[3], keys[0], keys[1]), key=lambda key: key.sort_key()) == keys


def _side(found: Record, payload: bytes | None) -> Evidence:
    return Evidence(found.header, found.signature, payload)


def test_conflict_round_trip() -> None:
    """A conflict is read back with both sides signed, and only with the sides in the order of their ids."""
    one, two = sorted((_record(b"\x80"), _record(b"\x81\x00")), key=lambda found: found.id)
    conflict = Conflict(_side(one, None), _side(two, two.payload))
    found = decode_conflict(conflict.encode())
    assert found == conflict
    assert found.first.is_signed()
    assert found.second.is_signed()
    assert (found.first.id, found.second.id) == (one.id, two.id)
    with pytest.raises(DecodeError, match="equal or out of order"):
        decode_conflict(Conflict(conflict.second, conflict.first).encode())


def test_conflict_payloads_are_those_signed() -> None:
    """A side whose payload has another digest is refused."""
    one, two = sorted((_record(b"\x80"), _record(b"\x81\x00")), key=lambda found: found.id)
    with pytest.raises(DecodeError, match="not the one that was signed"):
        decode_conflict(Conflict(_side(one, b"other"), _side(two, None)).encode())


@pytest.mark.parametrize(("seq", "prev"), [(0, sha256(b"before")), (1, NO_PREV)])
def test_prev_and_number_go_together(seq: int, prev: bytes) -> None:
    """Only record 0 has no previous record."""
    value = Header(NETWORK, KEY, 5, seq, prev, Kind.LEAVE, sha256(b"")).to_value()
    with pytest.raises(DecodeError, match="prev is zero exactly for seq 0"):
        envelope.header_from_value(value)  # type: ignore[arg-type]  # a list of wire values


@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 4000, PAYLOAD_BYTES_MAX])
def test_the_id_is_that_of_the_header(size: int) -> None:
    """The header is found in a record's bytes for any length of its payload."""
    rest = {"epoch": 300, "seq": 0, "prev": NO_PREV, "kind": Kind.LEAVE}
    made = make_record(ALICE, KEY, NETWORK, payload=bytes(size), **rest)  # type: ignore[arg-type]
    found = decode_record(made.data)
    assert found == made
    assert found.id == sha256(found.header.encode())
    assert found.is_signed()
