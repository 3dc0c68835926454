"""What every log is forbidden: to go back in time, and to hold too many records in one epoch."""

import random
from collections.abc import Sequence

import pytest

from p2pverify.core.errors import GossipIgnore
from p2pverify.core.events import Tick
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import NO_PREV, Header, Kind, Record
from p2pverify.core.replica.ledger import RECORDS_PER_EPOCH_MAX, Ledger
from p2pverify.core.roles import context
from tests.support.networks import MANIFEST, make_network, seeds

AUTHOR = bytes(31) + b"a"


def _log(epochs: Sequence[int], before: Record | None = None, salt: int = 0) -> list[Record]:
    """Consecutive records of these epochs. They are unsigned, because the ledger checks no signatures."""
    found = [] if before is None else [before]
    for epoch in epochs:
        last = found[-1] if found else None
        seq, prev = (0, NO_PREV) if last is None else (last.seq + 1, last.id)
        record_id = bytes([salt]) + epoch.to_bytes(4, "big") + seq.to_bytes(27, "big")
        found.append(
            Record(Header(bytes(32), AUTHOR, epoch, seq, prev, Kind.LEAVE, bytes(32)), b"", b"", record_id, b"")
        )
    return found if before is None else found[1:]


def _refusals(ledger: Ledger, log: Sequence[Record]) -> set[str]:
    found = set()
    for record in log:
        try:
            ledger.add(record)
        except GossipIgnore as refused:
            found.add(refused.reason)
    return found


def test_a_log_goes_forward_in_time() -> None:
    """A record with an earlier epoch than the record before it is refused. The same epoch or a later one is not."""
    ledger = Ledger()
    log = _log([5, 5, 9])
    assert _refusals(ledger, log) == set()
    assert _refusals(ledger, _log([8], log[-1])) == {"dated before the record before it"}
    assert _refusals(ledger, _log([9], log[-1])) == set()


def test_an_epoch_holds_so_many_records_of_an_author() -> None:
    """The limit is per branch and epoch, and starts again with the next epoch."""
    ledger = Ledger()
    log = _log([3] * 10 + [4] * (RECORDS_PER_EPOCH_MAX + 1))
    assert _refusals(ledger, log[:-1]) == set()
    assert _refusals(ledger, log[-1:]) == {"too many records in one epoch"}
    assert _refusals(ledger, _log([5] * 3, log[-2])) == set()


def test_the_bound_holds_on_branches_too() -> None:
    """A branch beside the followed one has its own count, which includes the records before the fork."""
    ledger = Ledger()
    trunk = _log([4] * 20)
    chain = _log([4] * 30, trunk[-1])
    branch = _log([4] * (RECORDS_PER_EPOCH_MAX - 20 + 1), trunk[-1], salt=1)
    assert _refusals(ledger, [*trunk, *chain, *branch[:-1]]) == set()
    assert _refusals(ledger, branch[-1:]) == {"too many records in one epoch"}
    assert _refusals(ledger, _log([4], chain[-1])) == set()


@pytest.mark.parametrize(
    ("epochs", "expected"),
    [([3] * (RECORDS_PER_EPOCH_MAX + 12), RECORDS_PER_EPOCH_MAX), ([1, 2, 2, 1, 3], 3)],
    ids=["too many", "back in time"],
)
def test_the_order_of_arrival_decides_nothing(epochs: list[int], expected: int) -> None:
    """In any order the same records are held: those up to the limit, or up to the step back in time."""
    for seed in range(3):
        shuffled = _log(epochs)
        random.Random(seed).shuffle(shuffled)
        ledger = Ledger()
        for _ in range(2):
            _refusals(ledger, shuffled)
        head = ledger.head(AUTHOR)
        assert head is not None
        assert head[1] + 1 == expected


def _founder() -> tuple[Machine, int]:
    """A founder that has introduced itself, and the time of this."""
    identities = seeds(4)
    network = make_network(identities)
    machine = Machine(network, identities[0], 0, MANIFEST, 64)
    now = network.params.epoch_start_ms(5)
    machine.handle(Tick(), now)
    assert len(list(machine.context.ledger.chain(machine.key))) >= 3
    return machine, now


def test_a_peer_says_no_more_than_others_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """At its own limit, well below the ledger's, a peer waits for the next epoch."""
    machine, now = _founder()
    assert 2 * context.OWN_RECORDS_PER_EPOCH_MAX <= RECORDS_PER_EPOCH_MAX
    assert machine.context.may_write(now)
    monkeypatch.setattr(context, "OWN_RECORDS_PER_EPOCH_MAX", 3)
    assert not machine.context.may_write(now)
    assert machine.context.may_write(now + machine.network.params.epoch_ms)


def test_a_clock_behind_its_own_log_signs_nothing() -> None:
    """If its clock is set back by an epoch, a peer waits until the clock has reached its last record."""
    machine, now = _founder()
    assert machine.context.may_write(now)
    assert not machine.context.may_write(now - 1)
