"""Reading a record's claim gives the same as decoding it, and nothing for bytes that are no record."""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.encoding import sign
from p2pverify.core.records.envelope import NO_PREV, Kind, decode_record, make_record
from p2pverify.core.records.judge import RecordClaim, peek
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.vote import decode_commit

VECTORS = Path(__file__).parents[3] / "protocol" / "vectors"
SEED = bytes(range(32))
DATA = make_record(
    SEED, sign.public_key(SEED), bytes(32), epoch=7, seq=0, prev=NO_PREV, kind=Kind.LEAVE, payload=b"\x80"
).data


@pytest.mark.parametrize("kind", [kind.name.lower().replace("_", "-") for kind in Kind])
def test_the_claim_is_what_the_record_says(kind: str) -> None:
    """This holds for each valid record of the vectors."""
    cases = json.loads((VECTORS / kind / "valid.json").read_text(encoding="utf-8"))
    for case in cases:
        record = decode_record(bytes.fromhex(case["input"]["record"]))
        claim = peek(record.data)
        assert claim is not None
        found = (claim.author, claim.kind, claim.id, claim.prev, claim.size)
        assert found == (record.author, record.kind, record.id, record.header.prev, len(record.data))
        assert claim.checks >= 1


@pytest.mark.parametrize("epoch", [0, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**40])
def test_numbers_of_every_length(epoch: int) -> None:
    """The parts after the numbers are found for any size of the numbers."""
    record = make_record(
        SEED, sign.public_key(SEED), bytes(32), epoch=epoch, seq=epoch or 1, prev=b"p" * 32, kind=Kind.VOTE, payload=b""
    )
    claim = peek(record.data)
    assert claim is not None
    assert (claim.kind, claim.id, claim.prev) == (Kind.VOTE, record.id, b"p" * 32)


def test_an_unknown_kind_is_claimed_as_it_stands() -> None:
    """A kind of a later version costs one signature check until this version knows it."""
    record = make_record(
        SEED,
        sign.public_key(SEED),
        bytes(32),
        epoch=1,
        seq=0,
        prev=NO_PREV,
        kind=cast("Kind", 200),
        payload=b"",
    )
    claim = peek(record.data)
    assert claim is not None
    assert (claim.kind, claim.checks) == (200, 1)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    """Any bytes give a claim or nothing."""
    assert peek(data) is None or isinstance(peek(data), RecordClaim)


@given(st.integers(0, len(DATA)), st.binary(max_size=12))
def test_records_cut_and_bent(place: int, inserted: bytes) -> None:
    """Records that are cut short or have inserted bytes give a claim or nothing."""
    for data in (DATA[:place], DATA[:place] + inserted + DATA[place:], DATA[:place] + inserted):
        assert peek(data) is None or isinstance(peek(data), RecordClaim)


def test_a_lot_costs_what_its_proof_does() -> None:
    """A commit with a lot costs as much as a duty, and one without costs a signature, at any epoch, number and slot."""
    cases = json.loads((VECTORS / "vote-commit" / "valid.json").read_text(encoding="utf-8"))
    duty = json.loads((VECTORS / "duty" / "valid.json").read_text(encoding="utf-8"))[0]
    dear = peek(bytes.fromhex(duty["input"]["record"]))
    assert dear is not None
    seen = set()
    for case in cases:
        given_record = decode_record(bytes.fromhex(case["input"]["record"]))
        commit = decode_commit(given_record.payload)
        for epoch, slot in ((given_record.epoch, commit.dispute.slot), (2**40, 255)):
            where = DisputeKey(commit.dispute.challenger, epoch - 1, slot)
            record = make_record(
                SEED,
                sign.public_key(SEED),
                bytes(32),
                epoch=epoch,
                seq=2**40,
                prev=b"p" * 32,
                kind=Kind.VOTE_COMMIT,
                payload=replace(commit, dispute=where).encode(),
            )
            claim = peek(record.data)
            assert claim is not None
            assert claim.checks == (1 if commit.lot is None else dear.checks)
            seen.add(commit.lot is None)
    assert seen == {True, False}
