"""A peer that forks its log while it joins, before any certified cut holds it, must not stop the cuts of the others."""

from p2pverify.core.encoding import sign, vrf
from p2pverify.core.events import RecordsArrived
from p2pverify.core.records.envelope import NO_PREV, Kind, make_record
from p2pverify.core.records.payloads.membership import Join
from tests.support.worlds import make_world


def test_a_fork_of_a_log_that_no_cut_holds_is_proven_in_the_cut_that_takes_it_in() -> None:
    """Half of the members see one join first, the other half another one. They prove the fork, and cuts go on."""
    world = make_world(7, seed=3, founders=6, late={6: 1_000})  # the last never speaks; this test makes its records
    seed = world.identities[6].seed
    key, join = sign.public_key(seed), Join(0, vrf.public_key(vrf.derive_seed(seed)))
    world.run_epochs(2)
    before = world.peers[0].machine.fold.latest.index
    joins = [
        make_record(
            seed, key, world.network.id, epoch=epoch, seq=0, prev=NO_PREV, kind=Kind.JOIN, payload=join.encode()
        )
        for epoch in (0, 1)
    ]
    for peer in world.peers[:6]:  # each half takes another one of them as valid
        for record in joins if peer.number < 3 else joins[::-1]:
            peer.feed(RecordsArrived((record.data,), key))
    world.run_epochs(6)
    for peer in world.peers[:6]:
        latest = peer.machine.fold.latest
        assert latest.members[key].forks == {0}
        assert latest.index >= before + 4
        accusers = {r.author for r in peer.machine.context.ledger.records() if r.kind == Kind.CONFLICT}
        assert accusers
