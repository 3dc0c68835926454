"""The limits on records of non-members, and that these limits prevent no cut."""

import pytest

from p2pverify.core.encoding import sign, vrf
from p2pverify.core.errors import GossipVerdict
from p2pverify.core.events import Judged, Publish, RecordsArrived, Tick
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import NO_PREV, Kind, Record, make_record
from p2pverify.core.records.judge import RecordClaim, peek
from p2pverify.core.records.payloads.cut import Cut, Head
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica.strangers import called, non_members
from tests.support.networks import MANIFEST, make_network, seeds

IDENTITIES = seeds(4)
NETWORK = make_network(IDENTITIES)
NOW = NETWORK.params.epoch_start_ms(3)


def _log(name: str, count: int, epoch: int = 3) -> list[Record]:
    """A non-member's join and `count` further records."""
    (seed,) = seeds(1, name)
    found: list[Record] = []
    for seq in range(count):
        kind = Kind.LEAVE if seq else Kind.JOIN
        payload = b"\x80" if seq else Join(0, vrf.public_key(vrf.derive_seed(seed))).encode()
        prev = found[-1].id if found else NO_PREV
        key = sign.public_key(seed)
        found.append(make_record(seed, key, NETWORK.id, epoch=epoch, seq=seq, prev=prev, kind=kind, payload=payload))
    return found


def _claim(record: Record) -> RecordClaim:
    claim = peek(record.data)
    assert claim is not None
    return claim


class Bench:
    """A machine and its table of non-members, used like in a node."""

    def __init__(self) -> None:
        self.machine = Machine(NETWORK, IDENTITIES[0], 0, MANIFEST, 64)
        self.table = self.machine.admission.strangers

    def take(self, record: Record) -> bool:
        """Whether a record was accepted, and is held or waits."""
        effects = self.machine.handle(RecordsArrived((record.data,), b"s" * 32), NOW)
        return any(isinstance(effect, Judged) and GossipVerdict.ACCEPT in effect.verdicts for effect in effects)

    @property
    def held(self) -> int:
        return self.table.statistics()["records of strangers"]


def test_so_many_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above the limit, further non-members are ignored, and the known ones can continue."""
    monkeypatch.setattr(non_members, "STRANGERS_MAX", 3)
    bench = Bench()
    logs = [_log(f"stranger {n}", 2) for n in range(5)]
    assert [bench.take(log[0]) for log in logs] == [True, True, True, False, False]
    assert [bench.take(log[1]) for log in logs] == [True, True, True, False, False]
    assert bench.table.statistics() == {"strangers": 3, "records of strangers": 6}


def test_so_many_records_of_a_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few records are accepted from each, more while the shared room lasts, and large records never."""
    monkeypatch.setattr(non_members, "STRANGER_RECORDS_MAX", 2)
    monkeypatch.setattr(non_members, "STRANGER_RECORDS_MAX_SHARED", 5)
    monkeypatch.setattr(non_members, "SHARED_RECORDS_MAX", 4)
    bench = Bench()
    first, second, third = (_log(name, 8) for name in ("one", "two", "three"))
    assert sum(bench.take(record) for record in first) == 5
    assert sum(bench.take(record) for record in second) == 3
    assert sum(bench.take(record) for record in third) == 2
    monkeypatch.setattr(non_members, "STRANGER_RECORD_BYTES_MAX", 10)
    assert not bench.take(_log("four", 1)[0])


def test_records_that_wait_or_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that waits for an earlier one counts. A refused record leaves no trace."""
    monkeypatch.setattr(non_members, "STRANGERS_MAX", 1)
    bench = Bench()
    forged = make_record(
        seeds(1, "forger")[0], sign.public_key(IDENTITIES[1])[:31] + b"x", NETWORK.id,
        epoch=3, seq=0, prev=NO_PREV, kind=Kind.LEAVE, payload=b"\x80",
    )  # fmt: skip
    assert not bench.take(forged)
    assert bench.held == 0
    assert bench.take(_log("one", 3)[2])
    assert bench.held == 1
    assert not bench.take(_log("two", 1)[0])


def test_members_are_no_strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of founders and of this peer are accepted even if the table is full."""
    monkeypatch.setattr(non_members, "STRANGERS_MAX", 0)
    bench = Bench()
    other = Machine(NETWORK, IDENTITIES[1], 0, MANIFEST, 64)
    own = Machine(NETWORK, IDENTITIES[0], 0, MANIFEST, 64)
    for machine in (other, own):
        published = [e for e in machine.handle(Tick(), NOW) if isinstance(e, Publish)]
        assert published
        assert all(bench.table.admits(claim) for e in published for data in e.records if (claim := peek(data)))


def _cut(*moved: Head) -> Cut:
    return Cut(3, NETWORK.id, bytes(32), bytes(80), tuple(moved), bytes(32), bytes(32), bytes(32))


def test_what_a_member_proposes_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full table does not prevent a peer from fetching a cut: its heads are accepted, and then the records before
    them."""
    monkeypatch.setattr(non_members, "STRANGERS_MAX", 1)
    bench = Bench()
    assert bench.take(_log("flood", 1)[0])
    newcomer = _log("newcomer", 3)
    assert not any(bench.take(record) for record in newcomer)
    head = (newcomer[2].author, 2, newcomer[2].id)
    bench.table.note_cut(newcomer[0].author, _cut(head))  # its author is no member with weight
    assert not bench.take(newcomer[2])
    bench.table.note_cut(sign.public_key(IDENTITIES[1]), _cut(head))
    assert [bench.take(record) for record in (newcomer[0], newcomer[1], newcomer[2])] == [False, False, True]
    assert [bench.take(record) for record in (newcomer[0], newcomer[1])] == [True, True]
    assert bench.machine.context.ledger.head(head[0]) == head


def test_what_is_called_for_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a member names more and more non-members, the oldest names are forgotten."""
    monkeypatch.setattr(non_members, "STRANGERS_MAX", 0)
    monkeypatch.setattr(called, "CALLED_MAX", 2)
    bench = Bench()
    logs = [_log(f"called {n}", 1)[0] for n in range(3)]
    bench.table.note_cut(sign.public_key(IDENTITIES[1]), _cut(*((log.author, 0, log.id) for log in logs)))
    assert [bench.table.admits(_claim(log)) for log in logs] == [False, True, True]
