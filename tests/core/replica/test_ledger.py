"""The ledger: prefixes, branches, and queries about them."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import GossipIgnore
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.payloads.cut import ledger_root
from p2pverify.core.replica import ledger as module
from p2pverify.core.replica.ledger import Ledger

NETWORK = bytes(32)
SEEDS = [bytes([number]) * 32 for number in (1, 2, 3)]


def log(seed: bytes, length: int, *, after: Record | None = None, epoch: int = 0) -> list[Record]:
    """Records of an author after a record, or from the beginning. Another epoch gives another branch."""
    made: list[Record] = []
    last = after
    for _ in range(length):
        seq, prev = (0, NO_PREV) if last is None else (last.seq + 1, last.id)
        key = sign.public_key(seed)
        last = make_record(seed, key, NETWORK, epoch=epoch, seq=seq, prev=prev, kind=Kind.LEAVE, payload=encode([]))
        made.append(last)
    return made


def head(record: Record) -> tuple[bytes, int, bytes]:
    return record.author, record.seq, record.id


def filled(*records: Record) -> Ledger:
    ledger = Ledger()
    for record in records:
        ledger.add(record)
    return ledger


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_any_order_gives_the_same_ledger(seed: int) -> None:
    """Logs of three authors, one of them with two branches, give the same records, forks and heads in any order."""
    trunk = log(SEEDS[0], 4)
    branch = log(SEEDS[0], 3, after=trunk[1], epoch=1)
    records = [*trunk, *branch, *log(SEEDS[1], 5), *log(SEEDS[2], 1)]
    random.Random(seed).shuffle(records)
    ledger = Ledger()
    seen: list[bytes] = []
    ledger.watch(lambda _, record_id: seen.append(record_id), lambda _: None)
    for _ in range(len(records)):  # of two records that wait for the same one, one is kept, so the other comes again
        for record in records:
            if record.id not in ledger and not ledger.is_awaited(record.author, record.header.prev):
                added = ledger.add(record)
                assert all(one.id == two.header.prev for one, two in pairwise(added))
            with pytest.raises(GossipIgnore, match="known"):
                ledger.add(record)
    assert sorted(r.id for r in ledger.records()) == sorted(r.id for r in records) == sorted(seen)
    assert len(ledger) == len(records)
    assert all(ledger.get(record.id) == record for record in records)
    ledger.follow({trunk[0].author: head(trunk[3])})
    assert ledger.heads() == tuple(sorted(head(log_[-1]) for log_ in (trunk, log(SEEDS[1], 5), log(SEEDS[2], 1))))
    assert {record.id for record in ledger.branches()} == {record.id for record in branch}
    forks = {(one.author, one.seq) for one, _ in ledger.take_forks()}
    assert {(trunk[0].author, 2)} <= forks <= {(trunk[0].author, 2), (trunk[0].author, 3)}
    assert not ledger.has_forks
    assert ledger.statistics() == {"records": 13, "authors": 3, "waiting": 0, "forked": 3}


def test_following_a_branch_goes_on_to_its_end() -> None:
    """If a cut names a record in the middle of the other branch, the chain follows that branch to its end."""
    trunk = log(SEEDS[0], 4)
    branch = log(SEEDS[0], 4, after=trunk[0], epoch=1)
    ledger = filled(*trunk, *branch)
    assert [head(trunk[3])] == list(ledger.heads())
    ledger.follow({trunk[0].author: head(branch[1])})
    assert ledger.head(trunk[0].author) == head(branch[3])
    assert list(ledger.chain(trunk[0].author)) == [trunk[0], *branch]
    assert {record.id for record in ledger.branches()} == {record.id for record in trunk[1:]}
    (more,) = log(SEEDS[0], 1, after=branch[3], epoch=2)
    assert ledger.add(more) == [more]
    for known in (*trunk, *branch, more):
        with pytest.raises(GossipIgnore, match="known"):
            ledger.add(known)
    assert ledger.head(trunk[0].author) == head(more)
    assert len(ledger) == 9


def test_what_a_set_of_heads_contains() -> None:
    """Heads contain earlier records of their own branch, and no record that is not in the ledger."""
    trunk, branch = log(SEEDS[0], 4), []
    branch = log(SEEDS[0], 2, after=trunk[1], epoch=1)
    ledger = filled(*trunk, *branch)
    author = trunk[0].author
    unknown = (author, 9, bytes(32))
    for later, earlier, contained in (
        (trunk[3], trunk[1], True),
        (trunk[3], trunk[3], True),
        (branch[1], trunk[1], True),
        (branch[1], trunk[2], False),
        (trunk[1], trunk[2], False),
        (trunk[3], branch[0], False),
    ):
        assert ledger.extends({author: head(later)}, [head(earlier)]) is contained
    assert not ledger.extends({author: unknown}, [head(trunk[0])])
    assert not ledger.extends({}, [head(trunk[0])])
    assert ledger.lacks([head(trunk[1]), unknown]) == unknown[2]
    assert ledger.lacks([head(trunk[1]), (author, 2, trunk[1].id)]) == trunk[1].id
    assert ledger.lacks([head(branch[0]), head(trunk[0])]) is None
    assert ledger.moved({author: head(trunk[1])}) == [head(trunk[3])]
    assert ledger.moved({author: head(trunk[3])}) == []
    assert ledger.between(head(branch[1]), 2) == branch
    assert ledger.between(head(trunk[1]), 0) == trunk[:2]


def test_forks_that_nobody_takes_up_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """At most one pair is kept per author and number, up to a limit. The records themselves are kept as evidence."""
    monkeypatch.setattr(module, "FORKS_MAX", 3)
    trunk = log(SEEDS[0], 8)
    ledger = filled(*trunk, *log(SEEDS[0], 6, after=trunk[1], epoch=1), *log(SEEDS[0], 1, after=trunk[1], epoch=2))
    assert [(one.seq, two.epoch) for one, two in ledger.take_forks()] == [(2, 1), (3, 1), (4, 1)]
    assert ledger.statistics()["forked"] == 7


def test_the_root_of_no_heads_is_that_of_nothing() -> None:
    """The root of no heads is the hash of the empty string (RFC 6962). One head and two heads have different roots."""
    heads = [head(log(seed, 1)[0]) for seed in SEEDS]
    assert ledger_root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert len({ledger_root(heads[:count]) for count in range(4)}) == 4
