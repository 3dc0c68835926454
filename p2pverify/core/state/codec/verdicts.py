"""The forms of audits, duties and disputes. An audit is written as its payload, which the audit page describes."""

from functools import lru_cache

from p2pverify.core.blind.committees import EVERYONE
from p2pverify.core.blind.values import OpenedAnswer, Round, RoundPhase, Sealed
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, sha256
from p2pverify.core.inference.compare import Measures, measures_value, read_measures
from p2pverify.core.records.envelope import PAYLOAD_BYTES_MAX
from p2pverify.core.records.payloads.audit import Audit, decode_audit
from p2pverify.core.records.payloads.vote import ASKED_MAX
from p2pverify.core.state.codec.forms import (
    BOOL,
    ID,
    IDS,
    SINCE,
    UINT,
    Form,
    choice,
    data,
    mapping,
    maybe,
    plain,
    record,
    uint,
)
from p2pverify.core.state.codec.lines import VERSION
from p2pverify.core.state.codec.rows import SEQ, SLOT
from p2pverify.core.state.verdicts.notes import AuditNote, Dispute, DutyNote

STAGE = uint(EVERYONE)
MEASURES: Form[Measures] = Form(measures_value, lambda value: read_measures(value, ASKED_MAX))
SEALED: Form[Sealed] = record(Sealed, commit=ID, seq=SEQ, stage=STAGE)
OPENED: Form[OpenedAnswer] = record(OpenedAnswer, output=ID, shown=maybe(ID))
ROUND: Form[Round] = record(
    Round,
    stage=STAGE,
    began_index=UINT,
    phase=choice(RoundPhase),
    sealed_index=SINCE,
    beacon=data(0, 32),
    voters=UINT,
    lots=mapping(ID, data(64), plain),
    seats=IDS,
)
DUTY_NOTE: Form[DutyNote] = record(DutyNote, body=ID, audits=mapping(SLOT, ID, plain))


@lru_cache(maxsize=4)
def audit_form(network_id: bytes) -> Form[Audit]:
    """An audit in a network, with its challenger."""

    def read(value: Value) -> Audit:
        challenger, payload = as_array(value, "audit", length=2)
        key = as_bytes(challenger, "challenger", size=32)
        return decode_audit(as_bytes(payload, "payload", size_max=PAYLOAD_BYTES_MAX), network_id, key)

    return Form(lambda audit: [audit.challenger, audit.encode()], read)


@lru_cache(maxsize=4)
def audit_notes_form(network_id: bytes) -> Form[AuditNote]:
    """An audit that waits for its duty. The digest of its payload follows from the payload."""
    audits = audit_form(network_id)

    def write(note: AuditNote) -> object:
        return (note.audit.challenger, note.payload), note.seq

    def read(value: Value) -> AuditNote:
        written, number = as_array(value, "audit note", length=2)
        audit = audits.read(written)
        payload = audit.encode()
        return AuditNote(audit, payload, sha256(payload), SEQ.read(number))

    return Form(write, read)


@lru_cache(maxsize=4)
def dispute_form(network_id: bytes) -> Form[Dispute]:
    return record(
        Dispute,
        audit=audit_form(network_id),
        opened_index=UINT,
        opened_epoch=UINT,
        duty_seq=SEQ,
        electorate=IDS,
        sampled=BOOL,
        is_long=BOOL,
        round=ROUND,
        closed_index=SINCE,
        commits=mapping(ID, SEALED, plain),
        votes=mapping(ID, OPENED, plain),
        settled=IDS,
        decision=maybe(ID),
        decided_index=SINCE,
        has_effect=BOOL,
        objections=mapping(ID, ID, plain),
        shown=mapping(STAGE, ID, plain),
        measures=mapping(ID, MEASURES, plain),
        heard=IDS,
        version=VERSION,
    )
