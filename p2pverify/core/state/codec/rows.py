"""The forms of rows, and of other parts of a state that are about one key."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from p2pverify.core.encoding.canon import encode_plain
from p2pverify.core.inference.speed import CLAIM_CHARS_MAX, Sample, Window
from p2pverify.core.records.envelope import SEQ_MAX
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.state.codec.forms import (
    BOOL,
    ID,
    IDS,
    INTEGER,
    SINCE,
    UINT,
    Form,
    mapping,
    maybe,
    ordered,
    pair,
    plain,
    record,
    sequence,
    text,
    uint,
)
from p2pverify.core.state.history.notes import LiveDataset
from p2pverify.core.state.state import Contact, EarlyConflict, Loss, Member
from p2pverify.core.training.terms import TrainingUse, read_terms

#: Bytes of the name of a counter, or of the reason of a conviction.
NAME_BYTES_MAX = 128

NAME = text(NAME_BYTES_MAX)
CLASS = uint(31)
SLOT = uint(255)
SEQ = uint(SEQ_MAX)
SEQS: Form[frozenset[int]] = ordered(SEQ, plain)
DISPUTE_KEY: Form[DisputeKey] = record(DisputeKey, challenger=ID, epoch=UINT, slot=SLOT)
LOSS: Form[Loss] = record(Loss, dispute=DISPUTE_KEY, up=UINT)
SAMPLE: Form[Sample] = record(Sample, token_us=UINT, first_ms=UINT, step_us=UINT)
WINDOW: Form[Window] = record(Window, number=UINT, count=UINT, fastest=sequence(SAMPLE))
CONTACT: Form[Contact] = record(Contact, asked=UINT, answered=UINT, windows=sequence(WINDOW), since=UINT)
_BEFORE_CONTACTS: dict[str, Form[Any]] = dict(  # noqa: C408, the names are those of fields
    founder=BOOL,
    active=BOOL,
    class_index=CLASS,
    vrf_key=ID,
    box_key=maybe(ID),
    hardware=text(CLAIM_CHARS_MAX),
    joined_epoch=UINT,
    joined_index=UINT,
    row_index=UINT,
    seen_index=UINT,
    weight=uint(1),
    lost_weight_index=SINCE,
    admitted_epoch=SINCE,
    rests_from=SINCE,
    sponsors=IDS,
    sponsored_epoch=SINCE,
    suspended_until=SINCE,
    agreements=UINT,
    dissents=UINT,
    inconclusive=UINT,
    disputes_lost=UINT,
    no_shows=UINT,
    missed_duties=UINT,
    unopened=UINT,
    slots_owed=UINT,
    duties_met=UINT,
    void_audits=UINT,
    cusum=UINT,
    losses=sequence(LOSS),
    long_cusum=UINT,
    long_losses=sequence(LOSS),
    judged=UINT,
    capital=INTEGER,
    far=sequence(LOSS),
    last_audit_epoch=SINCE,
    convicted_epoch=SINCE,
    convicted_after=UINT,
    conviction=NAME,
    fork_until=SINCE,
    forks=SEQS,
)
_AFTER_CONTACTS: dict[str, Form[Any]] = {"auditors": IDS, "credits": IDS}
MEMBER: Form[Member] = record(Member, **_BEFORE_CONTACTS, contacts=mapping(ID, CONTACT, plain), **_AFTER_CONTACTS)
#: The contacts of a row, each with its bytes, which are most of those of the row. A step changes few of them.
ContactBytes = Mapping[bytes, tuple[Contact, bytes]]


def contact_bytes(member: Member, known: ContactBytes) -> ContactBytes:
    """The bytes of the contacts of a row, in order. Those of contacts that did not change are taken over."""
    found: dict[bytes, tuple[Contact, bytes]] = {}
    for challenger in sorted(member.contacts):
        contact, old = member.contacts[challenger], known.get(challenger)
        if old is None or old[0] is not contact:
            old = contact, encode_plain([challenger, CONTACT.write(contact)])
        found[challenger] = old
    return found


def member_leaf(peer: bytes, member: Member, contacts: ContactBytes) -> bytes:
    """The leaf of a row: its canonical bytes, put together from parts."""
    before, after = (
        [form.write(getattr(member, name)) for name, form in parts.items()]
        for parts in (_BEFORE_CONTACTS, _AFTER_CONTACTS)
    )
    parts = [_head(2), encode_plain(peer), _head(len(before) + 1 + len(after)), _items(before)]
    parts += [_head(len(contacts)), *(data for _, data in contacts.values()), _items(after)]
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _head(length: int) -> bytes:
    """The first bytes of an array."""
    return encode_plain([0] * length)[: -length or None]


def _items(items: list[object]) -> bytes:
    return encode_plain(items)[len(_head(len(items))) :]


EARLY_CONFLICT: Form[EarlyConflict] = record(EarlyConflict, forks=SEQS, is_slot=BOOL, since=UINT)
TRAINING_USE: Form[TrainingUse] = record(
    TrainingUse, terms=Form(lambda terms: terms.to_value(), read_terms), seed=ID, shown=UINT, spent=UINT
)
DATASET: Form[LiveDataset] = record(
    LiveDataset,
    author=ID,
    root=ID,
    rows=UINT,
    schema=ID,
    until=UINT,
    epoch=UINT,
    index=UINT,
    erasures=UINT,
    erased=UINT,
    training=maybe(TRAINING_USE),
    waiting=maybe(pair(ID, UINT)),
)
