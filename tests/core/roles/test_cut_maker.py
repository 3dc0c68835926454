"""What a proposal admits: known authors, founders, and a few newcomers. Free keys cannot fill a cut."""

import pytest

from p2pverify.core.contract import sortition
from p2pverify.core.encoding import sign, vrf
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.events import Publish, RecordsArrived, Tick
from p2pverify.core.machine import Machine
from p2pverify.core.records.envelope import NO_PREV, Kind, decode_record, make_record
from p2pverify.core.records.payloads.cut import Cut, decode_cut
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.replica.states import NEW_AUTHORS_MAX
from p2pverify.core.roles import cut_maker
from p2pverify.core.roles.cut_maker import INTRODUCTION_MAX
from tests.support.networks import MANIFEST, make_network, seeds

LEAVE = encode([])


def _log(
    network: bytes, seed: bytes, *, join_at: int | None, length: int = INTRODUCTION_MAX + 2, epoch: int = 0
) -> list[bytes]:
    """A non-member's log of leaves. It has a join at one number, and this epoch from then on."""
    join = Join(0, vrf.public_key(vrf.derive_seed(seed))).encode()
    data: list[bytes] = []
    prev = NO_PREV
    for seq in range(length):
        kind, payload = (Kind.JOIN, join) if seq == join_at else (Kind.LEAVE, LEAVE)
        made = make_record(
            seed,
            sign.public_key(seed),
            network,
            epoch=epoch if seq else 0,
            seq=seq,
            prev=prev,
            kind=kind,
            payload=payload,
        )
        data.append(made.data)
        prev = made.id
    return data


def _cuts(machine: Machine, records: list[bytes], count: int) -> list[Cut]:
    """The first cuts of a machine that is the only founder of its network."""
    params = machine.network.params
    now = params.genesis_ms
    machine.handle(RecordsArrived(tuple(records), bytes(32)), now)
    found: list[Cut] = []
    while len(found) < count:
        now += params.epoch_ms // 10
        for effect in machine.handle(Tick(), now):
            for data in effect.records if isinstance(effect, Publish) else ():
                record = decode_record(data)
                found += [decode_cut(record.payload)] if record.kind == Kind.CUT else []
    return found


def _authors(cut: Cut) -> set[bytes]:
    return {head[0] for head in cut.moved}


def test_a_cut_takes_in_a_few_new_authors_that_join() -> None:
    """A cut admits sixteen new authors, in the beacon's order. An author without a join is never admitted."""
    assert NEW_AUTHORS_MAX == 16  # as on the protocol page of cuts
    founder, *crowd = seeds(1 + 2 * NEW_AUTHORS_MAX + 3, "cutter")
    network = make_network([founder])
    joining, idle = crowd[: 2 * NEW_AUTHORS_MAX], crowd[-3:]
    records = [data for n, seed in enumerate(joining) for data in _log(network.id, seed, join_at=n % 6)]
    records += [data for seed in idle for data in _log(network.id, seed, join_at=None)]
    one, two, three, four = _cuts(Machine(network, founder, 0, MANIFEST, 64), records, 4)
    keys = {sign.public_key(seed) for seed in joining}
    own = sign.public_key(founder)
    beacon = sortition.first_beacon(network.id)
    first = set(sorted(keys, key=lambda key: sha256(beacon + key))[:NEW_AUTHORS_MAX])
    assert _authors(one) == {own, *first}
    assert _authors(two) == {own, *(keys - first)}
    assert _authors(three) == _authors(four) == {own}


def test_founders_come_in_however_many_they_are() -> None:
    """There are more founders than newcomers that a cut admits. All founders and the newcomer are in the first cut."""
    founders = seeds(NEW_AUTHORS_MAX + 3, "founders")
    network = make_network(founders)
    stranger = seeds(1, "stranger")[0]
    records = [data for seed in founders[1:] for data in _log(network.id, seed, join_at=None, length=1)]
    records += _log(network.id, stranger, join_at=0)
    (cut,) = _cuts(Machine(network, founders[0], 0, MANIFEST, 64), records, 1)
    assert _authors(cut) == {sign.public_key(seed) for seed in [*founders, stranger]}


def test_who_finds_no_room_in_a_cut_comes_in_with_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for ten: first members with weight, then joining peers, then the longest waiting, then all others."""
    monkeypatch.setattr(cut_maker, "HEADS_MAX", 10)
    founder, *others = seeds(16, "room")
    network = make_network([founder])
    machine = Machine(network, founder, 0, MANIFEST, 64)
    ledger = machine.context.ledger
    keys = [sign.public_key(seed) for seed in (founder, *others)]
    for which, seed in enumerate((founder, *others)):
        for data in _log(network.id, seed, join_at=0, length=2, epoch=1 if which < 7 else 2):
            ledger.add(decode_record(data))
    base = {key: (key, 0, ledger.ancestor(head, 0)) for key in keys[:13] if (head := ledger.head(key)) is not None}
    latest = machine.fold.genesis.successor(bytes(32), 3, base)
    one = machine._parts.cutter._moved(latest, latest.epoch + 1)
    assert [head[0] for head in one] == sorted([*keys[:7], *keys[13:]])
    later = latest.successor(bytes(32), 4, {**base, **{head[0]: head for head in one}})
    two = machine._parts.cutter._moved(later, later.epoch + 1)
    assert [head[0] for head in two] == sorted(keys[7:13])
    assert all(head == ledger.head(head[0]) for head in (*one, *two))
