"""The forms of rows, and of other parts of a state that are about one key."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from p2pverify.core.encoding.canon import encode, encode_bytes, encode_uint
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
    record_writer,
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
    next_key=maybe(ID),
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
    successor=maybe(ID),
    handovers=UINT,
    handed_epoch=SINCE,
    objected_until=SINCE,
    rekeyed_epoch=SINCE,
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
_write_contact = CONTACT.write
_write_before, _write_after = record_writer(**_BEFORE_CONTACTS), record_writer(**_AFTER_CONTACTS)
_IN_BEFORE, _IN_AFTER = len(_BEFORE_CONTACTS), len(_AFTER_CONTACTS)


class RowBytes(NamedTuple):
    """Bytes of the parts of a row that are most of it, and of which a step changes few.

    Each contact has its bytes; the contacts are in order. `tail` is what stands behind the contacts, made from the sets
    `peers`.
    """

    contacts: Mapping[bytes, tuple[Contact, bytes]] = {}
    peers: tuple[frozenset[bytes], ...] = ()
    tail: bytes = b""


NO_BYTES = RowBytes()


def row_bytes(member: Member, known: RowBytes) -> RowBytes:
    """The bytes of these parts of a row. Those of parts that did not change are taken over."""
    before, contacts = known.contacts, member.contacts
    peers, tail = known.peers, known.tail
    if not peers or peers[0] is not member.auditors or peers[1] is not member.credits:
        peers, tail = (member.auditors, member.credits), _items(_IN_AFTER, _write_after(member))
    if contacts.keys() == before.keys():
        changed = {key: _contact(key, contacts[key]) for key, (old, _) in before.items() if old is not contacts[key]}
        return RowBytes({**before, **changed} if changed else before, peers, tail)
    found: dict[bytes, tuple[Contact, bytes]] = {}
    for challenger in sorted(contacts):
        contact, one = contacts[challenger], before.get(challenger)
        found[challenger] = one if one is not None and one[0] is contact else _contact(challenger, contact)
    return RowBytes(found, peers, tail)


def _contact(challenger: bytes, contact: Contact) -> tuple[Contact, bytes]:
    if contact.windows:
        return contact, encode((challenger, _write_contact(contact)))
    counts = encode_uint(contact.asked), encode_uint(contact.answered), encode_uint(contact.since)
    return contact, b"\x82X %b\x84%b%b\x80%b" % (challenger, *counts)


def member_leaf(peer: bytes, member: Member, known: RowBytes) -> bytes:
    """The leaf of a row: its canonical bytes, put together from those of `row_bytes` and the others."""
    parts = [_head(2), encode_bytes(peer), _head(_IN_BEFORE + 1 + _IN_AFTER), _items(_IN_BEFORE, _write_before(member))]
    return b"".join([*parts, _head(len(known.contacts)), *(data for _, data in known.contacts.values()), known.tail])


@lru_cache(maxsize=1024)
def _head(length: int) -> bytes:
    """The first bytes of an array."""
    return encode([0] * length)[: -length or None]


def _items(count: int, items: Sequence[object]) -> bytes:
    return encode(items)[len(_head(count)) :]


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
