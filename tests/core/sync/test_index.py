"""The sorted index of ids equals a sorted list after any additions, removals and queries."""

import random
from bisect import bisect_left

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Header, Record
from p2pverify.core.sync import index
from p2pverify.core.sync.index import RecordIndex


def record(epoch: int, number: int) -> Record:
    header = Header(bytes(32), bytes(32), epoch, 0, bytes(32), 4, bytes(32))
    return Record(header, bytes(64), b"", sha256(b"%d/%d" % (epoch, number)), b"")


def key(each: Record) -> tuple[int, bytes]:
    return (each.epoch, each.id)


def little(ids: list[bytes]) -> int:
    return sum(int.from_bytes(each, "little") for each in ids) % 2**256


def check(index: RecordIndex, held: list[Record], dice: random.Random) -> None:
    """Every query gives the answer of a sorted list."""
    keys = sorted(map(key, held))
    assert len(index) == len(keys)
    assert list(index.keys(0, len(keys))) == keys
    for _ in range(5):
        begin, end = sorted(dice.choices(range(len(keys) + 1), k=2))
        assert list(index.keys(begin, end)) == keys[begin:end]
        assert index.total(begin, end) == little([each[1] for each in keys[begin:end]])
        wanted = (dice.randrange(6), bytes([dice.randrange(256)]) * dice.choice([0, 1, 32]))
        assert index.place(wanted) == bisect_left(keys, wanted)
        if keys:
            assert index.key(begin % len(keys)) == keys[begin % len(keys)]
            assert index.place(keys[begin % len(keys)]) == begin % len(keys)
    epochs = sorted({each[0] for each in keys})
    assert list(index.epochs(2)) == [epoch for epoch in epochs if epoch >= 2]
    for epoch in range(6):
        ids = [each[1] for each in keys if each[0] == epoch]
        assert index.epoch_size(epoch) == len(ids)
        assert index.epoch_digest(epoch) == sha256(b"".join(ids))
        after = dice.choice([bytes(32), b"\x80" * 32, *ids])
        assert index.epoch_ids(epoch, after, 7) == [each for each in ids if each > after][:7]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 80), st.booleans()), max_size=8),
    st.randoms(use_true_random=False),
)
@settings(max_examples=30, deadline=None)
def test_it_is_a_sorted_list(bursts, dice):
    """Records come in bursts of one epoch or of all, in any order. Some are removed, with queries in between."""
    original = index.CHUNK_IDS_MAX, index._HALF
    index.CHUNK_IDS_MAX, index._HALF = 8, 4
    try:
        sorted_ids, held, number = RecordIndex(), [], 0
        for epoch, count, mixed in bursts:
            new = [record(dice.randrange(5) if mixed else epoch, number + n) for n in range(count)]
            number += count
            for each in new:
                sorted_ids.add(*key(each))
            held += new
            check(sorted_ids, held, dice)
            for gone in dice.sample(held, min(3, len(held))):
                sorted_ids.remove([key(gone)])
                held.remove(gone)
                assert not sorted_ids.has(*key(gone))
            sorted_ids.discard([key(record(epoch, 9_999))])  # one that was never there
            check(sorted_ids, held, dice)
            assert all(sorted_ids.has(*key(each)) for each in held)
    finally:
        index.CHUNK_IDS_MAX, index._HALF = original


def test_order_of_arrival_does_not_matter():
    """Two indexes of the same records give equal answers, whether the records came singly or at once, in any order."""
    records = [record(n % 9, n) for n in range(2_000)]
    one, two = RecordIndex(), RecordIndex()
    for each in records:
        one.add(*key(each))
        one.settle()
    for each in sorted(records, key=lambda r: r.id):
        two.add(*key(each))
    assert list(one.keys(0, 2_000)) == list(two.keys(0, 2_000))
    assert [one.total(0, end) for end in range(0, 2_000, 37)] == [two.total(0, end) for end in range(0, 2_000, 37)]


def test_only_what_is_there_can_go():
    """Removing a record that was never added is a fault of the caller."""
    index = RecordIndex()
    index.add(*key(record(1, 1)))
    with pytest.raises((AssertionError, IndexError)):
        index.remove([key(record(1, 2))])
