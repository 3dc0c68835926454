"""Cases of amendments and approvals, and a state whose rules were amended."""

from dataclasses import replace
from pathlib import Path

from vectorgen.case import Case, forged, judged, reject, said
from vectorgen.examples import ALICE, BOB, CAROL, DAVE, EPOCH, NETWORK, first_state, record

from p2pverify.core.contract.classes import DeterminismClass
from p2pverify.core.contract.network import PARAM_BOUNDS
from p2pverify.core.contract.rules.amend import RuleSet, amend
from p2pverify.core.contract.rules.changes import (
    ClassChange,
    ManifestChange,
    ParamChange,
    RefereeChange,
    RetireChange,
    UnknownChange,
)
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.records.payloads.amendment import OPEN_EPOCHS_MAX, Amendment, Approval, Word
from p2pverify.core.state.rules.notes import OpenAmendment, RulesInForce
from p2pverify.core.state.state import State

SLOTS = [name for name, _, _ in PARAM_BOUNDS].index("slots_milli")
MORE = ParamChange(SLOTS, NETWORK.params.slots_milli + 500)
OTHER = sha256(b"another model")
KIND = DeterminismClass("example-later", OTHER, "llama", "later", 1_000)
AMENDMENT = Amendment(RuleSet(NETWORK).root, (MORE,), 0, EPOCH + 20_000, EPOCH + 40_000, sha256(b"more audits"))
_LATE = f"an amendment is open for 1 to {OPEN_EPOCHS_MAX} epochs"


def amendment_record() -> Record:
    return record(ALICE, Kind.AMENDMENT, AMENDMENT.encode(), epoch=EPOCH)


def approval_record() -> Record:
    return record(BOB, Kind.APPROVAL, Approval(amendment_record().id, Word.YES).encode(), epoch=EPOCH)


def _amendment(**changes: object) -> Record:
    return record(ALICE, Kind.AMENDMENT, replace(AMENDMENT, **changes).encode(), epoch=EPOCH)  # type: ignore[arg-type]


def _said(at: int, value: object) -> Record:
    items: list[object] = [
        AMENDMENT.rules,
        [change.to_value() for change in AMENDMENT.changes],
        AMENDMENT.features,
        AMENDMENT.activation,
        AMENDMENT.expiry,
        AMENDMENT.text,
    ]
    return said(ALICE, Kind.AMENDMENT, [*items[:at], value, *items[at + 1 :]])


def _amendments() -> list[Case]:
    everything = (MORE, ManifestChange(OTHER), ClassChange(KIND), RetireChange(0), RefereeChange("x"))
    later = (UnknownChange(("curve", 7, [True, None])),)
    return [
        judged("more audits", amendment_record().data),
        judged("every kind of change: which are allowed is not judged here", _amendment(changes=everything).data),
        judged("a feature alone", _amendment(changes=(), features=1 << 62).data),
        judged("a change that this version does not know", _amendment(changes=later, features=1 << 7).data),
        judged("by a peer without weight", record(DAVE, Kind.AMENDMENT, AMENDMENT.encode()).data),
        reject("no change and no feature", _amendment(changes=()), "malformed amendment: an amendment changes nothing"),
        reject("33 changes", _amendment(changes=(MORE,) * 33), "malformed amendment: changes: more than 32 items"),
        reject(
            "a parameter without a value",
            _said(1, [["param", SLOTS]]),
            "malformed amendment: param: not 3 items",
        ),
        reject("a change without a name", _said(1, [[]]), "malformed amendment: change: no items"),
        reject("a class 32", _said(1, [["retire", 32]]), "malformed amendment: class: above 31"),
        reject("features of 64 bits", _said(2, 2**63), "malformed amendment: features: above 9223372036854775807"),
        reject(
            "it takes effect after it has expired",
            _amendment(activation=AMENDMENT.expiry + 1),
            "malformed amendment: activation is after the expiry",
        ),
        reject("a text of 31 bytes", _said(5, bytes(31)), "malformed amendment: text: not 32 bytes"),
        reject(
            "more than 8,192 bytes",
            _said(1, [["later", bytes(8_192)]]),
            "malformed amendment: amendment: more than 8192 bytes",
        ),
        reject("expired", _amendment(activation=0, expiry=EPOCH), _LATE),
        reject("open for too long", _amendment(expiry=EPOCH + OPEN_EPOCHS_MAX + 1), _LATE),
        reject("signature of another message", forged(amendment_record()), "bad signature"),
    ]


def _approvals() -> list[Case]:
    own = amendment_record().id
    return [
        judged("a founder approves", approval_record().data),
        judged("a withdrawal", said(BOB, Kind.APPROVAL, [own, 0]).data),
        judged("a program that is ready", said(CAROL, Kind.APPROVAL, [own, 2]).data),
        judged("of an amendment that nobody knows", said(CAROL, Kind.APPROVAL, [bytes(32), 1]).data),
        reject("a word 3", said(BOB, Kind.APPROVAL, [own, 3]), "malformed approval: word: above 2"),
        reject("a flag", said(BOB, Kind.APPROVAL, [own, True]), "malformed approval: word: not an unsigned integer"),
        reject("three items", said(BOB, Kind.APPROVAL, [own, 1, 0]), "malformed approval: approval: not 2 items"),
        reject("half an id", said(BOB, Kind.APPROVAL, [own[:16], 1]), "malformed approval: amendment: not 32 bytes"),
        reject("signature of another message", forged(approval_record()), "bad signature"),
    ]


def amended() -> State:
    """An amendment has taken effect with the cut, and another one is approved."""
    state = replace(first_state())
    found = amend(RuleSet(NETWORK), [ManifestChange(OTHER), ClassChange(KIND), RetireChange(0)], 1, state.epoch)
    definition = replace(found.network, first=None).encode()
    state.rules = {1: RulesInForce(sha256(b"first"), state.epoch, 1, definition, found.retired, found.features)}
    payload = replace(AMENDMENT, rules=found.root, features=1 << 7).encode()
    words = frozenset((ALICE.key, BOB.key))
    state.amendments = {
        sha256(b"second"): OpenAmendment(ALICE.key, payload, state.epoch, words, words, AMENDMENT.activation),
        sha256(b"third"): OpenAmendment(BOB.key, payload, state.epoch, frozenset((BOB.key,))),
    }
    return state


def cases() -> dict[Path, list[Case]]:
    return {Path("amendment"): _amendments(), Path("approval"): _approvals()}
