"""Sync sessions with lying neighbours: forged sums, invented cuts, ids without records, endless answers."""

from dataclasses import replace
from itertools import pairwise

import pytest

from p2pverify.core.errors import RemoteProtocolError
from p2pverify.core.records.envelope import Kind
from p2pverify.core.replica.strangers import called
from p2pverify.core.sync import negentropy, session
from p2pverify.core.sync.memory import GENERATION_SESSIONS
from p2pverify.core.sync.messages import (
    AskCommon,
    AskDigests,
    Between,
    Common,
    Digests,
    Fetch,
    Final,
    FinalCut,
    Ids,
    Reconcile,
    Reconciled,
    Records,
    decode_request,
)
from tests.support.sync_peers import CUT, NETWORK, SEEDS, Peer, chain, claiming
from tests.support.worlds import make_world

COMMON = Common(NETWORK, None).encode()


def test_forged_fingerprints_are_found_out(monkeypatch):
    """If sets seem equal and a certified cut stays unknown, epochs are compared by digests, and ids are listed."""
    monkeypatch.setattr(negentropy, "fingerprint", lambda index, begin, end: bytes(16))
    common, more = chain(SEEDS[0], 400), chain(SEEDS[1], 5_000, per_epoch=2_500)
    mine, other = Peer().holding(common), Peer().holding(common, more)
    mine.fetch(claiming(other))
    assert len(mine.ids) == 400, "the cut may just be on its way"
    mine.fetch(claiming(other))
    assert mine.ids == other.ids


def test_a_cut_that_is_known_causes_nothing(monkeypatch):
    """A cut that is certified here, on the path, or behind the newest cut needs no further comparison. Neither do equal
    sets."""
    records = chain(SEEDS[0], 40)
    mine, other = Peer().holding(records), Peer().holding(records)
    latest = mine.fold.latest
    for change in ({"is_certified": lambda cut: True}, {"path": (CUT.cut,)}, {"index": 10}):
        target = mine.fold if "is_certified" in change else latest
        before = {name: getattr(target, name) for name in change}
        vars(target).update(change)
        for _ in range(3):
            mine.fetch(claiming(other))
        vars(target).update(before)
    assert {type(request) for request in other.seen} == {AskCommon, Between, Reconcile}


def test_claims_that_lead_nowhere_become_rare():
    """A peer that invents certified cuts causes a comparison of all epochs less and less often."""
    records = chain(SEEDS[0], 40)
    mine, other = Peer().holding(records), Peer().holding(records)
    listings = []
    for number in range(200):
        other.seen.clear()
        mine.fetch(claiming(other))
        if any(isinstance(request, AskDigests) for request in other.seen):
            listings.append(number)
    assert listings[0] == 1
    gaps = [later - earlier for earlier, later in pairwise(listings)]
    assert gaps == sorted(gaps)
    assert len(listings) <= 8


def test_lies_about_a_cut_that_we_hold_are_refused():
    """The cut's record has its roots, and a leave is no cut."""
    world = make_world(3, seed=4)
    world.run_epochs(3)
    context = world.peers[0].machine.context
    record = next(record for record in context.ledger.records() if record.kind == Kind.CUT)
    mine = Peer(ledger=context.ledger, network_id=context.network_id)
    with pytest.raises(RemoteProtocolError, match="roots that are not those of the cut"):
        mine.fetch(claiming(mine, FinalCut(record.id, 9, b"l" * 32, b"v" * 32)))
    other = next(record for record in context.ledger.records() if record.kind == Kind.JOIN)
    with pytest.raises(RemoteProtocolError, match="a certified cut that is no cut"):
        mine.fetch(claiming(mine, FinalCut(other.id, 9, b"l" * 32, b"v" * 32)))


# ---------------------------------------------------------------- neighbours that lie


def test_announced_and_not_delivered():
    """These ids are counted and not requested again in the next sessions."""
    records = chain(SEEDS[0], 50)
    other, mine = Peer().holding(records), Peer()

    def withhold(data: bytes) -> bytes:
        found = other.answer(data)
        return Records(()).encode() if isinstance(decode_request(data), Fetch) else found

    assert mine.fetch(withhold).useless == 50
    other.seen.clear()
    assert mine.fetch(withhold).useless == 0
    assert not any(isinstance(request, Fetch) for request in other.seen)
    assert mine.fetch(other.answer, peer=b"another").taken == 50


def test_refused_records_are_asked_for_again_only_later():
    """Refused records are not requested for some sessions, and do not block the other records."""
    junk, good = chain(SEEDS[0], 30), chain(SEEDS[1], 30)
    other = Peer().holding(junk, good)
    mine = Peer(refuses=lambda record: record.author == junk[0].author)
    asked = []
    for _ in range(40):
        other.seen.clear()
        mine.fetch(other.answer)
        asked.append(sum(len(request.ids) for request in other.seen if isinstance(request, Fetch)))
    assert len(mine.ids) == 30
    assert asked[0] == 60
    again = [number for number, count in enumerate(asked) if count]
    assert len(again) > 1
    assert min(later - earlier for earlier, later in pairwise(again)) >= GENERATION_SESSIONS
    assert set(asked[1:]) == {0, 30}


def test_endless_ids_end_the_session(monkeypatch):
    """A session with a peer that invents ids ends after a bounded number of useless ids."""
    monkeypatch.setattr(session, "USELESS_MAX", 1_000)
    mine, counter = Peer(), iter(range(10**9))

    def invent(data: bytes) -> bytes:
        match decode_request(data):
            case Reconcile():
                ids = b"".join(next(counter).to_bytes(32, "little") for _ in range(600))
                more = b"\x00\x00\x01" + bytes(16)
                return Reconciled(b"\x61\x02\x00\x02" + negentropy.encode_varint(600) + ids + more).encode()
            case AskCommon():
                return COMMON
            case _:
                return Records(()).encode()

    ended = mine.fetch(invent)
    assert 1_000 < ended.useless <= 1_600


def test_endless_rounds_end_the_session(monkeypatch):
    """A session with fingerprints that never agree ends after a bounded number of rounds without progress."""
    monkeypatch.setattr(session, "ROUNDS_MAX", 20)
    mine, rounds = Peer().holding(chain(SEEDS[0], 100)), []

    def disagree(data: bytes) -> bytes:
        if isinstance(decode_request(data), AskCommon):
            return COMMON
        assert isinstance(decode_request(data), Reconcile)
        rounds.append(1)
        return Reconciled(b"\x61\x00\x00\x01" + len(rounds).to_bytes(16, "big")).encode()

    mine.fetch(disagree)
    assert len(rounds) == 20


RECORD = chain(SEEDS[0], 1)[0]
FAR = replace(CUT, index=session.STREAM_CUTS)
LISTED = Reconciled(b"\x61\x00\x00\x02\x01" + RECORD.id).encode()


@pytest.mark.parametrize(
    ("answers", "reason"),
    [
        ([b""], "truncated"),
        ([Records(()).encode()], "an answer to another request"),
        ([Common(bytes(31) + b"c", None).encode()], "a common cut that was not offered"),
        ([Common(NETWORK, FAR).encode(), Records((b"",)).encode()], "not a record"),
        ([COMMON, Reconciled(b"\x62").encode()], "negentropy version 2 is not spoken here"),
        ([COMMON, LISTED, Final(None).encode()], "an answer to another request"),
        ([COMMON, LISTED, Records((chain(SEEDS[1], 1)[0].data,)).encode()], "a record that was not asked for"),
        ([COMMON, LISTED, Records((RECORD.data, RECORD.data)).encode()], "a record that was not asked for"),
        ([COMMON, LISTED, Records((b"",)).encode()], "a record that was not asked for"),
        ([COMMON, LISTED, Records((RECORD.data[:90],)).encode()], "a record that was not asked for"),
    ],
)
def test_answers_that_make_no_sense(answers, reason):
    """Each is a fault of the neighbour, with a reason."""
    said = iter(answers)
    with pytest.raises(RemoteProtocolError) as caught:
        Peer().fetch(lambda data: next(said))
    assert caught.value.reason == reason


def test_lists_that_make_no_sense(monkeypatch):
    """Digests of other epochs, and ids before the requested ones, are refused."""
    records = chain(SEEDS[0], 400, per_epoch=100)
    other = Peer().holding(records)
    for said, reason in (
        (Digests(((0, bytes(32)),), more=True), "a digest of an epoch that was not asked for"),
        (Ids(tuple(n.to_bytes(32, "big") for n in range(2_000))), "ids that were not asked for"),
    ):
        mine = Peer().holding(records)
        mine.fetch(claiming(other))

        def lie(data: bytes, said: Digests | Ids = said) -> bytes:
            request = type(decode_request(data)).__name__
            if request == "AskDigests":
                return (said if isinstance(said, Digests) else Digests(((0, bytes(32)),), more=False)).encode()
            if request == "AskIds":
                return (said if isinstance(said, Ids) else Ids(())).encode()
            return claiming(other)(data)

        with pytest.raises(RemoteProtocolError, match=reason):
            mine.fetch(lie)


def test_another_network_is_refused():
    """A set of another network is not compared with ours."""
    with pytest.raises(RemoteProtocolError, match="another network"):
        Peer().fetch(Peer(network_id=b"m" * 32).answer)


def test_what_a_proposal_calls_for_is_asked_for_again_at_once(monkeypatch):
    """Refused before, because a table was full: now the named record is fetched, and those of its author before it."""
    named, other = chain(SEEDS[0], 5), chain(SEEDS[1], 5)
    full = Peer().holding(named, other)
    mine = Peer(refuses=lambda record: True)
    assert mine.fetch(full.answer, b"full").fetched == 10
    assert mine.fetch(full.answer, b"full").fetched == 0
    mine.fold.called.call_head(named[-1].author, named[-1].id)
    with monkeypatch.context() as patch:
        patch.setattr(session, "AGAIN_MAX", 2)
        assert mine.fetch(full.answer, b"full").fetched == 3
    assert mine.fetch(full.answer, b"full").fetched == 5
    mine.refuses = lambda record: False
    assert mine.fetch(full.answer, b"full").taken == 5
    mine.fold.called.note(named[-1].author)
    assert mine.ids == {record.id for record in named}
    mine.refuses = lambda record: True
    assert mine.fetch(full.answer, b"full").fetched == 0


def test_a_call_ends_when_the_named_record_is_here_with_its_prefix(monkeypatch):
    """An author of whom nothing lacks is called for no more, and of too many the oldest is forgotten."""
    monkeypatch.setattr(called, "CALLED_MAX", 2)
    mine, logs = Peer(), [chain(seed, 2) for seed in SEEDS[:3]]
    calls = mine.fold.called
    for log in logs:
        calls.call_head(log[1].author, log[1].id)
    assert [calls.lacks(log[1].author) for log in logs] == [False, True, True]
    mine.take([logs[2][1].data])
    calls.note(logs[2][1].author)
    assert calls.lacks(logs[2][1].author)
    mine.take([logs[2][0].data])
    calls.note(logs[2][1].author)
    assert not calls.lacks(logs[2][1].author)
    calls.forget(lambda author: author == logs[1][1].author)
    assert not calls.lacks(logs[1][1].author)
