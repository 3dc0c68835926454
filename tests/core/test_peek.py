"""Peeking at a record says what decoding it would say, and nothing about bytes that are none."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core import sign
from p2pverify.core.peek import Claim, peek
from p2pverify.core.records import NO_PREV, Kind, decode_record, make_record

VECTORS = Path(__file__).parents[2] / "protocol" / "vectors"
SEED = bytes(range(32))
DATA = make_record(
    SEED, sign.public_key(SEED), bytes(32), epoch=7, seq=0, prev=NO_PREV, kind=Kind.LEAVE, payload=b"\x80"
).data


@pytest.mark.parametrize("kind", [kind.name.lower().replace("_", "-") for kind in Kind])
def test_the_claim_is_what_the_record_says(kind: str) -> None:
    """For each valid record of the vectors."""
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
    """Whatever the size of the numbers before them, the parts behind are found."""
    record = make_record(
        SEED, sign.public_key(SEED), bytes(32), epoch=epoch, seq=epoch or 1, prev=b"p" * 32, kind=Kind.CUT, payload=b""
    )
    claim = peek(record.data)
    assert claim is not None
    assert (claim.kind, claim.id, claim.prev) == (Kind.CUT, record.id, b"p" * 32)


def test_an_unknown_kind_is_claimed_as_it_stands() -> None:
    """A later version's kind costs one check until somebody knows better."""
    record = make_record(
        SEED,
        sign.public_key(SEED),
        bytes(32),
        epoch=1,
        seq=0,
        prev=NO_PREV,
        kind=200,
        payload=b"",  # type: ignore[arg-type]
    )
    claim = peek(record.data)
    assert claim is not None
    assert (claim.kind, claim.checks) == (200, 1)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    """Whatever comes, a claim or nothing."""
    assert peek(data) is None or isinstance(peek(data), Claim)


@given(st.integers(0, len(DATA)), st.binary(max_size=12))
def test_records_cut_and_bent(place: int, inserted: bytes) -> None:
    """Cut short or with bytes put in anywhere, a claim or nothing."""
    for data in (DATA[:place], DATA[:place] + inserted + DATA[place:], DATA[:place] + inserted):
        assert peek(data) is None or isinstance(peek(data), Claim)
