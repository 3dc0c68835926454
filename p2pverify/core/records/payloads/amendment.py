"""The amendment and the approval: a member proposes other rules, and members say whether they want and can run them."""

from dataclasses import dataclass
from enum import IntEnum

from p2pverify.core.contract.rules.amend import FEATURES_MAX
from p2pverify.core.contract.rules.changes import CHANGES_MAX, Change, read_change
from p2pverify.core.encoding.canon import as_array, as_bytes, as_uint, encode
from p2pverify.core.encoding.decode_once import remembered
from p2pverify.core.errors import DecodeError, GossipReject
from p2pverify.core.records.envelope import EPOCH_MAX, Header, Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules

AMENDMENT_BYTES_MAX = 8192
#: An amendment stays open for at most this many epochs: 30 days of epochs of a minute.
OPEN_EPOCHS_MAX = 43_200


@dataclass(frozen=True, slots=True)
class Amendment:
    """Changes of the rules with the root `rules` (32 B), which take effect at the epoch `activation` or later.

    `features` are the bits of what a program needs to run the new rules. After the epoch `expiry` it is not approved
    any more. `text` is the SHA-256 of its rationale.
    """

    rules: bytes
    changes: tuple[Change, ...]
    features: int
    activation: int
    expiry: int
    text: bytes

    def encode(self) -> bytes:
        changes = [change.to_value() for change in self.changes]
        return encode([self.rules, changes, self.features, self.activation, self.expiry, self.text])


class Word(IntEnum):
    """What a member says of an amendment. READY is said by the program, the others by its operator."""

    NO = 0
    YES = 1
    READY = 2


@dataclass(frozen=True, slots=True)
class Approval:
    """A word about the amendment with this id. NO withdraws an earlier YES."""

    amendment: bytes
    word: Word

    def encode(self) -> bytes:
        return encode([self.amendment, int(self.word)])


@remembered(64)
def decode_amendment(payload: bytes) -> Amendment:
    if len(payload) > AMENDMENT_BYTES_MAX:
        raise DecodeError(f"amendment: more than {AMENDMENT_BYTES_MAX} bytes")
    rules, changes, features, activation, expiry, text = read_fields(payload, "amendment", 6)
    found = Amendment(
        as_bytes(rules, "rules root", size=32),
        tuple(read_change(change) for change in as_array(changes, "changes", length_max=CHANGES_MAX)),
        as_uint(features, "features", FEATURES_MAX),
        as_uint(activation, "activation", EPOCH_MAX),
        as_uint(expiry, "expiry", EPOCH_MAX),
        as_bytes(text, "text", size=32),
    )
    if not (found.changes or found.features):
        raise DecodeError("an amendment changes nothing")
    if found.activation > found.expiry:
        raise DecodeError("activation is after the expiry")
    return found


def decode_approval(payload: bytes) -> Approval:
    amendment, word = read_fields(payload, "approval", 2)
    return Approval(as_bytes(amendment, "amendment", size=32), Word(as_uint(word, "word", max(Word))))


def _check_amendment(amendment: Amendment, record: Record, _rules: Rules) -> None:
    # [REJECT] It expires after the record's epoch, and at most 43,200 epochs later.
    if not record.epoch < amendment.expiry <= record.epoch + OPEN_EPOCHS_MAX:
        raise GossipReject("an amendment is open for 1 to 43200 epochs")


def _check_approval(_approval: Approval, _record: Record, _rules: Rules) -> None:
    """Nothing to check: whether the amendment is open depends on the cut."""


def _amendment(_header: Header, payload: bytes) -> Amendment:
    return decode_amendment(payload)


AMENDMENT_RULE = KindRule(Kind.AMENDMENT, _amendment, _check_amendment)
APPROVAL_RULE = KindRule(Kind.APPROVAL, lambda _header, payload: decode_approval(payload), _check_approval)
