"""Judgement of arriving records: accept, ignore or reject, with a reason for each refusal; and its estimated cost.

Cheap checks come first, then those of the record's kind (see `kinds`), and the author's signature last.
`GossipReject` is for faults that need no context. `GossipIgnore` is for faults that depend on the clock or on this
peer's knowledge. The fold decides the effect of a record. `protocol/judgement.md` lists the same checks in the same
order.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError, GossipIgnore, GossipReject
from p2pverify.core.records.envelope import RECORD_BYTES_MAX, Kind, Record, decode_record
from p2pverify.core.records.fast_path import AUTHOR, BYTES_32, NUMBERS, START, RecordParts, header_bytes, split_record
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.kinds import KINDS, rule_of

#: How far ahead of our clock a record may date itself, in epochs.
EPOCHS_AHEAD_MAX = 1
#: An epoch after that of any record, so that no record is in the future. For records already judged by the clock.
FAR_FUTURE = 2**41
AHEAD = "dated in the future"


def judge(data: bytes, rules: Rules, claim: "RecordClaim | None" = None) -> Record:
    """Judge one record's bytes. Raises GossipIgnore or GossipReject with the reason.

    `claim` is the result of `peek` for these bytes, if there is one. Then the header is not read again.
    """
    record = read_record(data, rules, claim)
    not_ahead(record, rules)
    judge_content(record, rules)
    return record


def read_record(data: bytes, rules: Rules, claim: "RecordClaim | None" = None) -> Record:
    """The first checks of `judge`, which need nothing but the bytes and the network."""
    # [REJECT] The bytes are a canonical record within the size limit.
    if len(data) > RECORD_BYTES_MAX:
        raise GossipReject("record too large")
    try:
        record = decode_record(data, None if claim is None else claim.parts)
    except DecodeError as error:
        raise GossipReject(f"malformed record: {error.reason}") from None
    # [REJECT] The record is of this network.
    if record.header.network != rules.network_id:
        raise GossipReject("wrong network")
    return record


def not_ahead(record: Record, rules: Rules) -> None:
    """The only check of `judge` that depends on the clock; it comes before the checks that cost more."""
    # [IGNORE] The record is not dated ahead of our clock.
    if record.header.epoch > max(rules.epoch_now, 0) + EPOCHS_AHEAD_MAX:
        raise GossipIgnore(AHEAD)


def judge_payload(record: Record, rules: Rules) -> None:
    """The checks of `judge` for a payload of its kind, under its header."""
    # [IGNORE] The kind is known: a later version may have more.
    rule = rule_of(record.kind, rules.network)
    if rule is None:
        raise GossipIgnore("unknown kind")
    # [REJECT] The payload is well-formed and holds by itself.
    try:
        rule.check(rule.decode(record.header, record.payload), record, rules)
    except DecodeError as error:
        raise GossipReject(f"malformed {Kind(record.kind).name.lower()}: {error.reason}") from None


def judge_content(record: Record, rules: Rules) -> None:
    """The last checks of `judge`: the payload, and the author's signature."""
    judge_payload(record, rules)
    # [REJECT] The author signed the header.
    if not record.is_signed():
        raise GossipReject("bad signature")


# ---------------------------------------------------------------- before a judgement


@dataclass(frozen=True, slots=True)
class RecordClaim:
    """The claim of a record's bytes: its author (32 B), kind and header, and the id of the author's previous record.

    `data` are the bytes. `parts` are the parts of the record, if it has the shape of nearly every record.
    """

    author: bytes
    kind: int
    prev: bytes
    header: bytes
    data: bytes
    parts: RecordParts | None = None

    @property
    def id(self) -> bytes:
        """The id of a record with this header."""
        return sha256(self.header)

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return len(self.data)

    @property
    def checks(self) -> int:
        """The estimated cost of a judgement, in signature checks."""
        rule = KINDS.get(self.kind)
        return 1 if rule is None else rule.checks(len(self.data))


def peek(data: bytes) -> RecordClaim | None:
    """The claim of a record's bytes, or None if they do not begin like a record.

    Nothing is verified: a claim only tells whether a record is worth a judgement.
    """
    parts = split_record(data)
    if parts is None:
        return _peek_loosely(data)
    fields = parts[0]
    return RecordClaim(fields[1], fields[5], fields[4], header_bytes(data, parts[2]), data, parts)


def _peek_loosely(data: bytes) -> RecordClaim | None:
    """The claim of bytes that are an unusual record or none. The fields are read at their fixed positions."""
    if not data.startswith(START) or data[AUTHOR - 2 : AUTHOR] != BYTES_32:
        return None
    at = NUMBERS
    for _ in range(2):  # epoch and seq
        at = _after_uint(data, at)
    prev_at = at + 2
    kind_at = prev_at + 32
    end = _after_uint(data, kind_at) + 34
    if data[at:prev_at] != BYTES_32 or end > len(data):
        return None
    kind = data[kind_at] if data[kind_at] < 24 else data[kind_at + 1]
    return RecordClaim(data[AUTHOR:NUMBERS], kind, data[prev_at:kind_at], data[1:end], data)


def _after_uint(data: bytes, at: int) -> int:
    """The index of the item after an unsigned integer; malformed bytes at worst give an index beyond the end."""
    if at >= len(data) or data[at] < 24:
        return at + 1
    return at + 1 + (1 << (data[at] & 3))
