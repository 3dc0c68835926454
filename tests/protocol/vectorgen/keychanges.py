"""Cases of handovers, objections to them and rekeys: the records, and what they count for in the fold."""

from pathlib import Path

from vectorgen.book import Book
from vectorgen.case import Case, forged, judged, reject, said
from vectorgen.examples import BOB, CAROL, DAVE, EPOCH, NETWORK_ID, Peer, record
from vectorgen.membership import SMALL_ORDER

from p2pverify.core.encoding import box
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.keys.handover import Handover, HandoverObject, Keys, next_digest, sign_consent
from p2pverify.core.records.payloads.keys.rekey import Rekey
from p2pverify.core.state.state import State
from tests.support.handovers import COLD_EPOCHS, Changes
from tests.support.networks import make_network, seeds

HEAD = (7, sha256(b"the last record of the old log"))
EVE = Peer("eve", bytes(range(128, 160)))
KEYS = Keys(next_digest(EVE.key), DAVE.vrf_key, box.public_key(box.derive_secret(DAVE.seed)))


def handover_record(keys: Keys = KEYS, *, consent: bool = True) -> Record:
    """Dave takes over the row of Carol."""
    signed = sign_consent(CAROL.seed, NETWORK_ID, DAVE.key, keys) if consent else None
    return record(DAVE, Kind.HANDOVER, Handover(CAROL.key, HEAD, keys, signed).encode(), epoch=EPOCH, seq=0)


def object_record() -> Record:
    return record(CAROL, Kind.OBJECT, HandoverObject(DAVE.key).encode(), epoch=EPOCH)


def rekey_record() -> Record:
    return record(CAROL, Kind.REKEY, Rekey(DAVE.vrf_key).encode(), epoch=EPOCH)


def _handovers() -> list[Case]:
    vrf_key, head = KEYS.vrf_key, list(HEAD)
    consent = sign_consent(CAROL.seed, NETWORK_ID, DAVE.key, KEYS)
    last: list[object] = [KEYS.next_key, vrf_key, KEYS.box_key]
    bare = Keys(None, vrf_key, None)
    bad: list[tuple[str, object, str]] = [
        ("five items", [CAROL.key, head, *last], "malformed handover: handover: not 6 items"),
        ("a head without an id", [CAROL.key, [7], *last, None], "malformed handover: head: not 2 items"),
        ("a next key of 31 bytes", [CAROL.key, head, vrf_key[:31], *last[1:], None], _not("next key", 32)),
        ("a consent of 63 bytes", [CAROL.key, head, *last, consent[:63]], _not("consent", 64)),
        (
            "a VRF key of small order",
            [CAROL.key, head, None, SMALL_ORDER, None, None],
            "malformed handover: the VRF key is not a valid point",
        ),
        ("from itself", [DAVE.key, head, *last, None], "a key cannot take over from itself"),
        (
            "signed for other keys",
            [CAROL.key, head, None, vrf_key, None, consent],
            "the old key's signature does not hold",
        ),
        ("signed by another key", [BOB.key, head, *last, consent], "the old key's signature does not hold"),
    ]
    return [
        judged("both keys sign", handover_record().data),
        judged("the new key alone", handover_record(consent=False).data),
        judged("without a next key, without boxes", handover_record(bare).data),
        *[reject(comment, said(DAVE, Kind.HANDOVER, value), reason) for comment, value, reason in bad],
        reject("signature of another message", forged(handover_record()), "bad signature"),
    ]


def _not(what: str, size: int) -> str:
    return f"malformed handover: {what}: not {size} bytes"


def _objections() -> list[Case]:
    return [
        judged("to the handover to Dave", object_record().data),
        judged("by a peer that never joined", said(DAVE, Kind.OBJECT, [CAROL.key]).data),
        judged("again", said(CAROL, Kind.OBJECT, [DAVE.key]).data),
        reject("to itself", said(CAROL, Kind.OBJECT, [CAROL.key]), "a key cannot object to itself"),
        reject("nothing", said(CAROL, Kind.OBJECT, []), "malformed object: object: not 1 items"),
        reject(
            "a key of 31 bytes", said(CAROL, Kind.OBJECT, [DAVE.key[:31]]), "malformed object: successor: not 32 bytes"
        ),
        reject("signature of another message", forged(object_record()), "bad signature"),
    ]


def _rekeys() -> list[Case]:
    return [
        judged("another VRF key", rekey_record().data),
        judged("the same key", said(CAROL, Kind.REKEY, [CAROL.vrf_key]).data),
        judged("by a peer that never joined", said(DAVE, Kind.REKEY, [EVE.vrf_key]).data),
        reject("two keys", said(CAROL, Kind.REKEY, [DAVE.vrf_key] * 2), "malformed rekey: rekey: not 1 items"),
        reject(
            "small order", said(CAROL, Kind.REKEY, [SMALL_ORDER]), "malformed rekey: the VRF key is not a valid point"
        ),
        reject("signature of another message", forged(rekey_record()), "bad signature"),
    ]


# ---------------------------------------------------------------- the fold


class Story(Changes):
    """Four founders, of which two hand over and a third objects; `made` has the cuts by what they show."""

    def __init__(self) -> None:
        founders = seeds(4, "key changes")
        network = make_network(founders, handover_epochs=COLD_EPOCHS)
        self.pages = Book(network)
        super().__init__(network, founders, self.pages)
        _, two, three, four = founders
        self.made: dict[str, bytes] = {}
        self.hand_over(three)
        self.say(three, Kind.LEAVE, encode([]))
        self.note("a row is frozen, and a later record of its log counts for nothing")
        self.hand_over(two, consent=False)
        self.say(four, Kind.REKEY, Rekey(DAVE.vrf_key).encode())
        self.note("a second row is frozen by its next key alone, and another member changes its VRF key")
        self.object(two)
        self.note("the old key objects")
        self.hand_over(two, consent=False)
        self.note("after the objection both must sign")
        self.cuts(self.cuts_of_delay - 4)
        self.waiting: State = self.latest
        self.note("the first row moves")
        self.cut()
        self.note("the new key has weight")

    def note(self, comment: str) -> None:
        self.made[comment] = self.cut().id


def _folds() -> list[Case]:
    story = Story()
    (first, opened), *others = story.made.items()
    found = [story.pages.case(first, opened)]
    return [*found, *(story.pages.case(comment, cut_id, like=(first, story.pages.order)) for comment, cut_id in others)]


def cases() -> dict[Path, list[Case]]:
    return {
        Path("handover"): _handovers(),
        Path("object"): _objections(),
        Path("rekey"): _rekeys(),
        Path("fold/keys.json"): _folds(),
    }
