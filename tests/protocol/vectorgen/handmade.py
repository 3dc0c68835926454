"""Cases of the fold written by hand, with few records each, for rare events of a network.

All begin with the three founders of the examples and their first cut.
"""

from dataclasses import replace

from vectorgen.book import Book
from vectorgen.case import Case
from vectorgen.examples import (
    ALICE,
    BOB,
    CAROL,
    COMMIT,
    DAVE,
    DISPUTED,
    DUTY,
    EPOCH,
    NETWORK,
    NETWORK_ID,
    PANEL_SLOT,
    PEERS,
    VOTE,
    Peer,
    join,
    opening_of,
)

from p2pverify.core.encoding.canon import encode
from p2pverify.core.records.envelope import Kind, Record, make_record
from p2pverify.core.records.payloads.conflict import Conflict, Evidence
from p2pverify.core.records.payloads.cut import CutSignature, Head
from p2pverify.core.records.payloads.membership import Join
from p2pverify.core.state.rows import JOIN_EPOCHS

FIRST = "a founder proposes the cut that first holds its join"
SEEDS = tuple(peer.seed for peer in PEERS)
EVE = Peer("eve", bytes(range(128, 160)))
EMPTY = encode([])
WRONG_PROPOSER = "the last cut does not hold: the proposer has no weight or another VRF key"


def _begun() -> Book:
    """The founders have joined, and a certified cut of epoch 10 holds their joins."""
    book = Book(NETWORK, [join(peer) for peer in PEERS])
    book.step(BOB.seed, 10, SEEDS)
    return book


def _join(book: Book, peer: Peer, *, class_index: int = 0, key: Peer | None = None, epoch: int = 11) -> Record:
    payload = Join(class_index, (key or peer).vrf_key).encode()
    return book.say(peer.seed, Kind.JOIN, payload, epoch)


def first() -> Case:
    book = _begun()
    return book.case(FIRST, book.fold.latest.id)


def _case(book: Book, comment: str, cut_id: bytes, reason: str | None = None) -> Case:
    """A case with the common beginning, which is not repeated."""
    return book.case(comment, cut_id, reason, like=(FIRST, _begun().order))


def duties() -> list[Case]:
    """Alice's audit and duty of the examples: one slot is in dispute, and the other slots have no audits."""
    rows = {
        "an audit whose answers differ and the duty that owed it open a dispute": False,
        "the same after its challenger has changed its class counts for nothing": True,
    }
    found = []
    for comment, is_changed in rows.items():
        book = _begun()
        assert book.fold.latest.id == DUTY.anchor
        if is_changed:
            book.say(ALICE.seed, Kind.LEAVE, EMPTY, 11)
            _join(book, ALICE, class_index=1)
        book.say(ALICE.seed, Kind.AUDIT, DISPUTED.encode(), EPOCH)
        book.say(ALICE.seed, Kind.DUTY, DUTY.encode(), EPOCH + 1)
        found.append(_case(book, comment, book.step(BOB.seed, EPOCH + 1, SEEDS).id))
    return found


def comings_and_goings() -> Case:
    book = _begun()
    _join(book, DAVE)
    book.say(DAVE.seed, Kind.LEAVE, EMPTY, 11)
    _join(book, DAVE, class_index=1)
    book.say(CAROL.seed, Kind.LEAVE, EMPTY, 11)
    book.say(ALICE.seed, Kind.LEAVE, EMPTY, 11)
    book.say(ALICE.seed, Kind.AUDIT, DISPUTED.encode(), EPOCH)
    made = book.step(BOB.seed, 12, SEEDS)
    return _case(book, "joins and leaves apply in the order of a log; who has left has no audits", made.id)


def pause() -> Case:
    """All peers were away for a thousand epochs between two cuts."""
    book = _begun()
    _join(book, DAVE)
    book.step(BOB.seed, 12, SEEDS)
    made = book.step(BOB.seed, 1012, SEEDS)
    return _case(book, "a cut stands on a base a thousand epochs before it", made.id)


def _opened() -> tuple[Book, Record]:
    """Alice's audit opens a dispute in the cut of epoch 13."""
    book = _begun()
    book.say(ALICE.seed, Kind.AUDIT, DISPUTED.encode(), EPOCH)
    book.say(ALICE.seed, Kind.DUTY, DUTY.encode(), EPOCH + 1)
    return book, book.step(BOB.seed, EPOCH + 1, SEEDS[:2])


def decided() -> list[Case]:
    """Bob seals and opens his answer, and Alice her nonces. Carol, who answered differently, does not vote."""
    book, opened = _opened()
    commit = replace(COMMIT, certificate=opened.id)
    book.say(BOB.seed, Kind.VOTE_COMMIT, commit.encode(), EPOCH + 2)
    sealed = book.step(BOB.seed, EPOCH + 2, SEEDS[:2])
    targets = tuple(asked.responder for asked in DISPUTED.asked)
    own = replace(VOTE, certificate=sealed.id, salts=opening_of(PANEL_SLOT, targets).salts)
    book.say(BOB.seed, Kind.VOTE, replace(VOTE, certificate=sealed.id).encode(), EPOCH + 3)
    book.say(ALICE.seed, Kind.VOTE, own.encode(), EPOCH + 3)
    comments = [
        "a dispute opens",
        "two of three answers are sealed, the challenger's included: the sealing closes",
        "two of three answers are opened and equal: decided",
    ]
    return _cut_by_cut(book, [opened, sealed, book.step(BOB.seed, EPOCH + 3, SEEDS[:2])], comments)


def unsealed() -> list[Case]:
    """No peer votes."""
    book, _ = _opened()
    cuts = [book.step(BOB.seed, EPOCH + later, SEEDS[:2]) for later in (2, 3, 4)]
    return _cut_by_cut(
        book,
        cuts[1:],
        ["two cuts after the opening without a vote: still open to seals", "three cuts after it: the sealing closes"],
    )


def _fork(book: Book, peer: Peer, seq: int, epoch: int) -> None:
    """The peer proves that Carol has signed two records with one number."""
    kinds = (Kind.LEAVE, Kind.CUT_SIGNATURE)
    signed = [
        make_record(
            CAROL.seed, CAROL.key, NETWORK_ID, epoch=9, seq=seq, prev=bytes(31) + b"\1", kind=kind, payload=EMPTY
        )
        for kind in kinds
    ]
    sides = sorted((Evidence(each.header, each.signature, None) for each in signed), key=lambda side: side.id)
    book.say(peer.seed, Kind.CONFLICT, Conflict(sides[0], sides[1]).encode(), epoch)


def _two_seals(book: Book, peer: Peer, seq: int, epoch: int) -> None:
    """The peer proves that Carol has sealed two answers in one dispute, with one number."""
    signed = [
        make_record(
            CAROL.seed,
            CAROL.key,
            NETWORK_ID,
            epoch=epoch,
            seq=seq,
            prev=bytes(31) + b"\1",
            kind=Kind.VOTE_COMMIT,
            payload=replace(COMMIT, commit=bytes([side]) * 32).encode(),
        )
        for side in (1, 2)
    ]
    found = sorted((Evidence(r.header, r.signature, r.payload) for r in signed), key=lambda side: side.id)
    book.say(peer.seed, Kind.CONFLICT, Conflict(found[0], found[1]).encode(), epoch)


def forks() -> list[Case]:
    book = _begun()
    _fork(book, BOB, 5, 11)
    cuts = [book.step(BOB.seed, 12, SEEDS)]
    _fork(book, ALICE, 5, 13)
    cuts.append(book.step(ALICE.seed, 14, SEEDS[:2]))
    _fork(book, BOB, 9, 15)
    cuts.append(book.step(BOB.seed, 16, SEEDS[:2]))
    _two_seals(book, ALICE, 11, 17)
    cuts.append(book.step(ALICE.seed, 18, SEEDS[:2]))
    assert book.fold.latest.members[CAROL.key].is_convicted
    comments = [
        "a fork costs weight and standing",
        "a fork at one number counts once",
        "a fork at another number counts again",
        "two claims on one slot under one number convict, and are a fork too",
    ]
    return _cut_by_cut(book, cuts, comments)


def missed() -> list[Case]:
    book = _begun()
    cuts = [
        book.step(BOB.seed, 28, SEEDS),
        book.step(ALICE.seed, 29, SEEDS),
        book.step(CAROL.seed, 30, SEEDS),
    ]
    comments = [
        "duties of an epoch that can still come are not missed",
        "every member has missed the duties of epoch 20",
        "and none of epoch 21, for which there was no cut to draw from",
    ]
    return _cut_by_cut(book, cuts, comments)


def _cut_by_cut(book: Book, cuts: list[Record], comments: list[str]) -> list[Case]:
    """One file of records, folded at several cuts."""
    known = (comments[0], book.order)
    return [
        _case(book, comment, cut.id) if comment is comments[0] else book.case(comment, cut.id, like=known)
        for comment, cut in zip(comments, cuts, strict=True)
    ]


def crossed_signatures() -> list[Case]:
    """Carol signs two cuts on one base, and the later does not contain the earlier."""
    rows = {
        "signatures of two cuts that are not nested convict": False,
        "they do not while one of the two cuts holds what the folded cut does not": True,
    }
    found = []
    for comment, is_beyond in rows.items():
        book = _begun()
        _join(book, DAVE)
        one = book.proposal(BOB.seed, 11)
        if is_beyond:
            _join(book, EVE)
        two = book.proposal(ALICE.seed, 11, moved=_without(book, DAVE))
        first_id = book.certify(BOB.seed, one, [CAROL.seed]).id
        book.certify(ALICE.seed, two, [CAROL.seed])
        for peer in (ALICE, BOB):
            book.say(peer.seed, Kind.CUT_SIGNATURE, CutSignature(first_id).encode(), 11)
        assert book.fold.latest.id == first_id
        made = book.step(BOB.seed, 12, SEEDS, moved=_without(book, EVE))
        assert book.fold.latest.members[CAROL.key].is_convicted != is_beyond
        found.append(_case(book, comment, made.id))
    return found


def _without(book: Book, peer: Peer) -> tuple[Head, ...]:
    return tuple(head for head in book.ledger.moved(book.fold.latest.heads) if head[0] != peer.key)


def changed_keys() -> list[Case]:
    """Bob leaves, and joins again with another VRF key."""
    found = []
    rows = [
        ("in that cut the proposer's key is still the one of its base", BOB, None),
        ("a proposer that changes its VRF key when the beacon is known already", DAVE, WRONG_PROPOSER),
    ]
    for comment, key, reason in rows:
        book = _begun()
        book.say(BOB.seed, Kind.LEAVE, EMPTY, 11)
        _join(book, BOB, key=DAVE)
        made = book.certify(BOB.seed, book.proposal(BOB.seed, 11, vrf_seed=key.vrf_seed), SEEDS)
        found.append(_case(book, comment, made.id, reason))
    return found


def crowds() -> list[Case]:
    """As many newcomers join as one cut admits, and one more."""
    found = []
    rows = [
        ("a cut that takes in sixteen new authors", 16, None),
        ("a cut that takes in seventeen", 17, "the last cut does not hold: the cut takes in too many new authors"),
    ]
    for comment, count, reason in rows:
        book = _begun()
        for number in range(count):
            _join(book, Peer(f"stranger {number}", bytes([200 + number]) * 32))
        made = book.certify(BOB.seed, book.proposal(BOB.seed, 11), SEEDS)
        found.append(_case(book, comment, made.id, reason))
    return [*found, *_late_comers()]


def _late_comers() -> list[Case]:
    """A newcomer without a join, one whose log is just young enough, and one whose log is too old."""
    stranger = Peer("stranger", bytes([200]) * 32)
    late = "the last cut does not hold: a new author has not joined lately"
    found = []
    base = 11 + JOIN_EPOCHS
    for comment, joins, first, reason in (
        ("a new author without a join", False, base, late),
        ("a new author whose log began 63 epochs before the base", True, base - 63, None),
        ("a new author whose log began 64 epochs before the base", True, base - 64, late),
    ):
        book = _begun()
        book.certify(BOB.seed, book.proposal(BOB.seed, base), SEEDS)
        book.say(stranger.seed, Kind.LEAVE, EMPTY, first)
        if joins:
            _join(book, stranger, epoch=base)
        made = book.certify(BOB.seed, book.proposal(BOB.seed, base + 1), SEEDS)
        found.append(_case(book, comment, made.id, reason))
    return found


def links() -> list[Case]:
    """Dave's record 5 names his record 0 as the previous one. Another record has an earlier date than the previous
    one."""
    book = _begun()
    before = join(DAVE)
    early = before.epoch - 1
    back = make_record(
        DAVE.seed, DAVE.key, NETWORK_ID, epoch=early, seq=1, prev=before.id, kind=Kind.LEAVE, payload=EMPTY
    )
    wrong = make_record(DAVE.seed, DAVE.key, NETWORK_ID, epoch=9, seq=5, prev=before.id, kind=Kind.LEAVE, payload=EMPTY)
    newest = book.fold.latest.id
    return [
        book.case(
            "a record whose number does not follow on the one before it",
            newest,
            "prev is not the record before",
            records=[*book.order, before, wrong],
        ),
        book.case(
            "nor does it count if it came first and waited",
            newest,
            "a record before it is missing",
            records=[wrong, *book.order, before],
        ),
        book.case(
            "a record dated before the one before it",
            newest,
            "dated before the record before it",
            records=[*book.order, before, back],
        ),
        book.case(
            "nor does that count if it came first and waited",
            newest,
            "a record before it is missing",
            records=[back, *book.order, before],
        ),
    ]


def valid_and_invalid() -> list[Case]:
    """Both kinds together, in order."""
    return [
        first(),
        comings_and_goings(),
        pause(),
        *crossed_signatures(),
        *changed_keys(),
        *crowds(),
        *links(),
    ]


def forks_and_missed() -> list[Case]:
    return [*forks(), *missed()]


def disputes() -> list[Case]:
    return [*duties(), *decided(), *unsealed()]
