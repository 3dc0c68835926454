"""Range-based set reconciliation: the reference's messages, random sets, limits, and arbitrary bytes."""

import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError, RemoteProtocolError
from p2pverify.core.sync import negentropy
from p2pverify.core.sync.index import RecordIndex
from p2pverify.core.sync.negentropy import (
    FINGERPRINTS_MAX,
    MESSAGE_BYTES_MAX,
    MESSAGE_BYTES_MIN,
    RANGES_MAX,
    Initiator,
    RangeResponder,
    read_ranges,
)

VECTORS = Path(__file__).parents[3] / "protocol" / "vectors" / "negentropy"
UNLIMITED = 1 << 30


def key_of(number: int, per_timestamp: int) -> tuple[int, bytes]:
    """Record n has timestamp n / per_timestamp, and its id is the SHA-256 of its digits."""
    return number // per_timestamp, sha256(str(number).encode())


def index_of(numbers: Any, per_timestamp: int) -> RecordIndex:
    index = RecordIndex()
    for number in numbers:
        index.add(*key_of(number, per_timestamp))
    return index


def ids_of(numbers: Any) -> set[bytes]:
    return {sha256(str(number).encode()) for number in numbers}


def reconcile(
    ours: RecordIndex, theirs: RecordIndex, limit: int = MESSAGE_BYTES_MAX
) -> tuple[list[bytes], list[bytes], list[bytes]]:
    """A whole session: its messages, and the ids that we have and need."""
    initiator, responder = Initiator(ours, bytes_max=limit), RangeResponder(theirs, bytes_max=limit)
    messages: list[bytes] = []
    have: list[bytes] = []
    need: list[bytes] = []
    message: bytes | None = initiator.initiate()
    while message is not None:
        answer = responder.answer(message)
        messages += [message, answer]
        message, found = initiator.reconcile(answer)
        have += found.have
        need += found.need
    assert all(len(each) <= limit for each in messages)
    return messages, have, need


# ---------------------------------------------------------------- the reference


def described(held: dict[str, Any]) -> RecordIndex:
    numbers = [n for begin, end in held["ranges"] for n in range(begin, end)]
    return index_of([n for n in numbers if n not in set(held["without"])], held["per_timestamp"])


SESSIONS = json.loads((VECTORS / "sessions.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", SESSIONS, ids=[case["comment"] for case in SESSIONS])
def test_sessions_of_the_reference(case):
    """Messages equal the reference's byte for byte, unless the reference had a size limit."""
    by, limits = case["input"]["by"], case["input"]["limits"]
    speaks = {side: by[side] == "ours" or not limits[side] for side in by}
    bounds = {side: limits[side] or UNLIMITED for side in by}
    initiator = Initiator(described(case["input"]["ours"]), bytes_max=bounds["initiator"])
    responder = RangeResponder(described(case["input"]["theirs"]), bytes_max=bounds["responder"])
    said = [bytes.fromhex(message) for message in case["expect"]["messages"]]
    have: list[str] = []
    need: list[str] = []
    message: bytes | None = initiator.initiate()
    for query, answer in zip(said[::2], said[1::2], strict=True):
        assert not speaks["initiator"] or message == query
        assert not speaks["responder"] or responder.answer(query) == answer
        message, found = initiator.reconcile(answer)
        have += [each.hex() for each in found.have]
        need += [each.hex() for each in found.need]
    assert message is None
    assert (have, need) == (case["expect"]["have"], case["expect"]["need"])


def test_the_reference_took_both_roles():
    """There are sessions of the reference with itself, and of each side with this code, with and without limits."""
    roles = {(case["input"]["by"]["initiator"], case["input"]["by"]["responder"]) for case in SESSIONS}
    assert len(roles) == 4
    assert sum(case["input"]["limits"]["responder"] > 0 for case in SESSIONS) >= 4


INVALID = json.loads((VECTORS / "invalid.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", INVALID, ids=[case["comment"] for case in INVALID])
def test_malformed_messages(case):
    """Both sides refuse a message with the reason in the vector."""
    message = bytes.fromhex(case["input"]["message"])
    for read in (RangeResponder(index_of(range(9), 3)).answer, Initiator(index_of(range(9), 3)).reconcile):
        with pytest.raises(DecodeError) as caught:
            read(message)
        assert caught.value.reason == case["reason"]


# ---------------------------------------------------------------- any sets


@given(
    st.sets(st.integers(0, 400)),
    st.sets(st.integers(0, 400)),
    st.sampled_from([1, 7, 1000]),
    st.sampled_from([MESSAGE_BYTES_MIN, MESSAGE_BYTES_MAX]),
)
def test_any_two_sets(ours, theirs, per_timestamp, limit):
    """The initiator learns exactly the differences, each once."""
    _, have, need = reconcile(index_of(ours, per_timestamp), index_of(theirs, per_timestamp), limit)
    assert len(have) == len(set(have))
    assert len(need) == len(set(need))
    assert set(have) == ids_of(ours - theirs)
    assert set(need) == ids_of(theirs - ours)


@pytest.mark.parametrize("seed", range(5))
def test_large_sets_that_differ_in_every_way(seed):
    """With holes, a missing end and small messages, no difference is missed, and no message exceeds its limit."""
    dice = random.Random(seed)
    full = range(5_000)
    ours = set(full) - set(dice.sample(full, dice.choice([0, 1, 50, 2_000])))
    theirs = set(full[: dice.choice([0, 2_500, 5_000])]) - set(dice.sample(full, 30))
    _, have, need = reconcile(index_of(ours, 40), index_of(theirs, 40), 6_000)
    assert set(have) == ids_of(ours - theirs)
    assert set(need) == ids_of(theirs - ours)


def test_few_differences_among_many_take_four_round_trips_at_most():
    """100 differences among 100,000 are known after at most 4 round trips, wherever they are."""
    dice = random.Random(7)
    records = [key_of(number, 100) for number in range(100_000)]
    ours, theirs = RecordIndex(), RecordIndex()
    for record in records:
        ours.add(*record)
        theirs.add(*record)
    for _ in range(3):
        holes = dice.sample(records, 100)
        for record in holes[:50]:
            ours.remove([record])
        for record in holes[50:]:
            theirs.remove([record])
        messages, have, need = reconcile(ours, theirs)
        assert (set(have), set(need)) == ({each[1] for each in holes[50:]}, {each[1] for each in holes[:50]})
        assert len(messages) // 2 <= 4
        for record in holes:
            (ours if record in holes[:50] else theirs).add(*record)


def test_equal_sets_cost_a_few_hundred_bytes():
    """For sets of any size, one round trip shows that they are equal."""
    messages, have, need = reconcile(index_of(range(20_000), 100), index_of(range(20_000), 100))
    assert (have, need) == ([], [])
    assert len(messages) == 2
    assert sum(map(len, messages)) < 400


def test_ids_come_in_the_order_of_epochs():
    """The ids that a newcomer needs are listed from the oldest epoch on, even over many messages."""
    theirs = index_of(range(2_000), 10)
    _, _, need = reconcile(RecordIndex(), theirs, MESSAGE_BYTES_MIN)
    assert need == [each[1] for each in theirs.keys(0, 2_000)]


def test_a_set_that_grows_during_the_session():
    """Records that arrive between two messages do no harm. What was missing at the start is known at the end."""
    ours, theirs = index_of(range(0, 3_000, 2), 10), index_of(range(3_000), 10)
    initiator, responder = Initiator(ours), RangeResponder(theirs)
    need: set[bytes] = set()
    message: bytes | None = initiator.initiate()
    late = iter(range(3_000, 4_000))
    while message is not None:
        record = key_of(next(late), 10)
        ours.add(*record)
        theirs.add(*record)
        message, found = initiator.reconcile(responder.answer(message))
        need |= set(found.need)
    assert need >= ids_of(range(1, 3_000, 2))


# ---------------------------------------------------------------- arbitrary bytes


@given(st.binary(max_size=200))
def test_any_bytes_are_answered_or_refused(data):
    """Both sides answer or raise RemoteProtocolError, with and without a leading version byte."""
    for message in (data, b"\x61" + data):
        with suppress(RemoteProtocolError):
            assert RangeResponder(index_of(range(50), 3)).answer(message)[0] == 0x61
        with suppress(RemoteProtocolError):
            Initiator(index_of(range(50), 3)).reconcile(message)


@given(st.data())
def test_damaged_messages_are_answered_or_refused(data):
    """A message with a changed byte, or one that is cut short, is read or refused."""
    messages, _, _ = reconcile(index_of(range(90), 10), index_of(range(30, 120), 10))
    message = bytearray(data.draw(st.sampled_from(messages)))
    at = data.draw(st.integers(0, len(message) - 1))
    message[at] ^= data.draw(st.integers(0, 255))
    for damaged in (bytes(message), bytes(message[:at])):
        with suppress(RemoteProtocolError):
            RangeResponder(index_of(range(50), 10)).answer(damaged)
        with suppress(RemoteProtocolError):
            Initiator(index_of(range(50), 10)).reconcile(damaged)


def test_another_version_is_answered_with_ours():
    """The responder names its version; the initiator gives up."""
    assert RangeResponder(index_of(range(9), 3)).answer(b"\x62anything") == b"\x61"
    with pytest.raises(RemoteProtocolError, match="version 2 is not spoken"):
        Initiator(index_of(range(9), 3)).reconcile(b"\x62")


def test_messages_have_a_bounded_number_of_ranges():
    """Too many ranges are refused before they are looked up. Own messages stay below the limit."""
    with pytest.raises(DecodeError, match="too many ranges"):
        read_ranges(b"\x61" + b"\x01\x00\x00" * (RANGES_MAX + 1))
    with pytest.raises(DecodeError, match="too many fingerprints"):
        read_ranges(b"\x61" + (b"\x01\x00\x01" + bytes(16)) * (FINGERPRINTS_MAX + 1))
    dice = random.Random(3)
    full = range(60_000)
    messages, _, _ = reconcile(index_of(full, 100), index_of(set(full) - set(dice.sample(full, 3_000)), 100))
    counts = [sum(each.mode == negentropy.FINGERPRINT for each in read_ranges(message)) for message in messages]
    assert FINGERPRINTS_MAX // 2 < max(counts) <= FINGERPRINTS_MAX


def test_empty_lists_cannot_swell_an_answer():
    """An answer stays within its limit although every range asks for ids."""
    query = b"\x61" + b"\x01\x00\x02\x00" * RANGES_MAX
    assert len(RangeResponder(index_of(range(900), 1)).answer(query)) <= MESSAGE_BYTES_MAX
    assert len(RangeResponder(index_of(range(900), 1), bytes_max=MESSAGE_BYTES_MIN).answer(query)) <= MESSAGE_BYTES_MIN
