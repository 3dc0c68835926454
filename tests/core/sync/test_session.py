"""Sync sessions between honest peers: late joiners, holes, branches, interruptions, certified cuts."""

from p2pverify.core.machine import Machine
from p2pverify.core.sync.messages import (
    ANSWER_BYTES_MAX,
    AskCommon,
    Common,
    Fetch,
    Reconcile,
    decode_answer,
    decode_request,
)
from p2pverify.core.sync.server import Sync
from p2pverify.testnet.world.peer.versions import MANIFEST
from tests.support.sync_peers import SEEDS, Peer, chain
from tests.support.worlds import make_world


def test_a_late_joiner_takes_everything_in_order():
    """It fetches page by page, oldest epochs first. A record that waits for its prefix is not requested twice."""
    chains = [chain(seed, 700) for seed in SEEDS]
    full, mine = Peer().holding(*chains), Peer()
    session = mine.fetch(full.answer)
    assert mine.ids == full.ids
    assert (session.fetched, session.useless) == (5_600, 0)
    fetched = [found for request in full.seen if isinstance(request, Fetch) for found in request.ids]
    epochs = [full.ledger.get(found).epoch for found in fetched]
    assert epochs == sorted(epochs)
    assert len(fetched) == len(set(fetched))


def test_equal_peers_find_out_in_two_requests():
    """There is nothing to fetch. First they find a common cut, then the sets above it are compared."""
    records = chain(SEEDS[0], 300)
    mine, other = Peer().holding(records), Peer().holding(records)
    mine.fetch(other.answer)
    assert [type(request) for request in other.seen] == [AskCommon, Reconcile]


def test_each_fetches_for_itself():
    """A session fetches the other's records and gives none. The other's session does the rest."""
    one, two = chain(SEEDS[0], 90), chain(SEEDS[1], 80)
    alice, bob = Peer().holding(one), Peer().holding(two)
    alice.fetch(bob.answer)
    assert len(alice.ids) == 170
    assert len(bob.ids) == 80
    bob.fetch(alice.answer)
    assert bob.ids == alice.ids


def test_all_branches_of_a_fork_travel():
    """All branches are in the set as evidence, whichever branch a peer follows."""
    trunk = chain(SEEDS[0], 20)
    left, right = chain(SEEDS[0], 15, size=2, before=trunk), chain(SEEDS[0], 25, size=3, before=trunk)
    alice, bob = Peer().holding(left), Peer().holding(right)
    alice.fetch(bob.answer)
    bob.fetch(alice.answer)
    assert alice.ids == bob.ids == {record.id for record in (*left, *right)}


def test_large_records_come_in_several_answers():
    """An answer without room for all records is continued, and no record counts as undelivered."""
    full, mine = Peer().holding(chain(SEEDS[0], 30, size=60_000)), Peer()
    sizes = []

    def answer(data: bytes) -> bytes:
        found = full.answer(data)
        sizes.append(len(found))
        return found

    session = mine.fetch(answer)
    assert mine.ids == full.ids
    assert session.useless == 0
    assert max(sizes) <= ANSWER_BYTES_MAX
    assert sum(isinstance(request, Fetch) for request in full.seen) > 3


def test_an_interrupted_session_loses_nothing():
    """Fetched records stay, the others come with the next session, and no id stays claimed."""
    full, mine = Peer().holding(*(chain(seed, 400) for seed in SEEDS)), Peer()
    session = mine.sync.session(b"")
    request: bytes | None = session.start()
    for _ in range(4):
        assert request is not None
        step = session.receive(full.answer(request))
        mine.take(step.records)
        request = step.request
    session.release()
    held = len(mine.ids)
    assert 0 < held < 3_200
    full.seen.clear()
    assert mine.fetch(full.answer).fetched == 3_200 - held
    assert mine.ids == full.ids


def test_two_sessions_share_the_work():
    """Neither of two simultaneous sessions requests records that the other is fetching."""
    full, mine = Peer().holding(*(chain(seed, 300) for seed in SEEDS)), Peer()
    sessions = {name: mine.sync.session(name) for name in (b"a", b"b")}
    requests: dict[bytes, bytes | None] = {name: session.start() for name, session in sessions.items()}
    while any(requests.values()):
        for name, request in requests.items():
            if request is not None:
                step = sessions[name].receive(full.answer(request))
                mine.take(step.records)
                requests[name] = step.request
    for session in sessions.values():
        session.end()
        session.release()
    fetched = [found for request in full.seen if isinstance(request, Fetch) for found in request.ids]
    assert len(fetched) == len(set(fetched)) == 2_400
    assert mine.ids == full.ids
    assert min(session.fetched for session in sessions.values()) > 500


def test_machines_agree_on_the_newest_cut():
    """A new machine fetches a real network's records, folds them, and finds the same cut certified."""
    world = make_world(4, seed=3)
    world.run_epochs(6)
    old = world.peers[0].machine
    joiner = Machine(world.network, world.identities[1].seed, 0, MANIFEST, 4096)
    served, mine = Sync(old.context), Sync(joiner.context)
    for _ in range(2):
        session = mine.session(old.key)
        request: bytes | None = session.start()
        while request is not None:
            answer = served.answer(request)
            if isinstance(decode_request(request), AskCommon):
                common = decode_answer(answer)
            step = session.receive(answer)
            joiner.load(step.records, (), world.now_ms)
            request = step.request
        session.end()
    assert old.fold.latest.index >= 3
    assert isinstance(common, Common)
    assert common.final is not None
    assert common.final.cut == common.cut == old.fold.latest.id == joiner.fold.latest.id
    assert len(joiner.context.ledger) == len(old.context.ledger)
    assert session.fetched == 0
