"""When a sync session is complete, so that its neighbour has shown the peer's own log."""

from p2pverify.core.encoding import sign
from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.sync.messages import Fetch, Records, decode_answer, decode_request
from tests.support.sync_peers import SEEDS, Answerer, Peer, chain, claiming

KEY = sign.public_key(SEEDS[0])


def withholding(peer: Peer, record_id: bytes) -> Answerer:
    """The answers of a peer that announces a record and does not deliver it."""

    def answer(data: bytes) -> bytes:
        found = peer.answer(data)
        if isinstance(decode_request(data), Fetch):
            records = decode_answer(found)
            kept = [r for r in records.records if r != peer.ledger.get(record_id).data]
            return Records(tuple(kept)).encode()
        return found

    return answer


def test_a_whole_session_is_complete_and_not_before_its_end() -> None:
    """This includes a session with a peer that holds fewer records."""
    full, mine = Peer().holding(chain(SEEDS[0], 40), chain(SEEDS[1], 40)), Peer(key=KEY)
    begun = mine.sync.session(b"")
    begun.start()
    assert not begun.is_complete
    begun.release()
    assert mine.fetch(full.answer).is_complete
    assert mine.fetch(Peer().answer).is_complete


def test_an_own_record_that_is_refused_makes_every_session_incomplete() -> None:
    """It is requested again each time, because another clock may accept it later. Refused records of others do not
    matter."""
    chains = chain(SEEDS[0], 30), chain(SEEDS[1], 30)
    full = Peer().holding(*chains)
    refused = {chains[0][-1].id, chains[1][-1].id}
    mine = Peer(key=KEY, refuses=lambda record: record.id in refused)
    assert [mine.fetch(full.answer).is_complete for _ in range(4)] == [False] * 4
    refused.discard(chains[0][-1].id)
    assert mine.fetch(full.answer).is_complete


def test_an_own_record_behind_one_that_is_missing_makes_a_session_incomplete() -> None:
    """A part of the own log was not shown."""
    own = chain(SEEDS[0], 12)
    full, mine = Peer().holding(own), Peer(key=KEY)
    assert not mine.fetch(withholding(full, own[4].id)).is_complete
    assert KEY not in {head[0] for head in mine.ledger.heads()} or mine.ledger.has_waiting(KEY)


def test_what_another_session_is_fetching_is_not_here_yet() -> None:
    """Two simultaneous sessions are complete only when both have delivered their shares."""
    full, mine = Peer().holding(chain(SEEDS[1], 20)), Peer(key=KEY)
    first, second = mine.sync.session(b"first"), mine.sync.session(b"second")
    compared = first.receive(full.answer(first.start())).request
    assert compared is not None
    asked = first.receive(full.answer(compared)).request
    step = second.receive(full.answer(second.start()))
    while step.request is not None:
        step = second.receive(full.answer(step.request))
        mine.take(step.records)
    second.end()
    assert not second.is_complete
    assert asked is not None
    step = first.receive(full.answer(asked))
    mine.take(step.records)
    assert second.is_complete


def test_a_cut_that_stays_unknown_makes_a_session_incomplete() -> None:
    """Fingerprints may have been forged so that the sets only seem equal."""
    full, mine = Peer().holding(chain(SEEDS[1], 9)), Peer(key=KEY)
    assert not mine.fetch(claiming(full)).is_complete


def test_a_peer_that_breaks_off_has_shown_nothing() -> None:
    """A session that ends with an error never counts."""
    full, mine = Peer().holding(chain(SEEDS[0], 9)), Peer(key=KEY)
    session = mine.sync.session(b"")
    session.start()
    try:
        session.receive(b"\x00")
    except RemoteProtocolError:
        session.release()
    assert not session.is_complete
    assert len(full.ledger) == 9
