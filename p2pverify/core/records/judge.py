"""Judgement of arriving records: accept, ignore or reject, each refusal with its reason.

One function per record kind, cheap checks first, the author's signature last. `GossipReject` is for faults that need
no context, `GossipIgnore` for what depends on the clock or on what this peer knows. What a record *counts for* is
not judged here but in the fold (`state`, `step`). `protocol/judgement.md` lists the same lines in the same order.
"""

from collections.abc import Callable
from dataclasses import dataclass

from p2pverify.core.contract.manifest import decode_manifest
from p2pverify.core.contract.network import Network, decode_network
from p2pverify.core.contract.sortition import duty_alpha, vrf_holds
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import DecodeError, GossipIgnore, GossipReject
from p2pverify.core.records.audit import Audit, decode_audit
from p2pverify.core.records.conflict import Evidence, decode_conflict
from p2pverify.core.records.cut import decode_cut, decode_cut_signature
from p2pverify.core.records.duty import decode_duty
from p2pverify.core.records.envelope import RECORD_BYTES_MAX, Kind, Record, decode_record
from p2pverify.core.records.lots import lot_output
from p2pverify.core.records.membership import decode_join, decode_leave
from p2pverify.core.records.vote import decode_commit, decode_vote

#: How far ahead of our clock a record may date itself, in epochs.
EPOCHS_AHEAD_MAX = 1
#: An epoch by which no record is dated in the future: for records that were judged by the clock when they came.
FAR_FUTURE = 2**41
AHEAD = "dated in the future"


@dataclass(frozen=True, slots=True)
class Rules:
    """What judgement needs to know: the network, and the epoch that it is by our clock."""

    network: Network
    network_id: bytes
    epoch_now: int


def judge(data: bytes, rules: Rules) -> Record:
    """Judge one record's bytes. Raises GossipIgnore or GossipReject with the reason."""
    record = read_record(data, rules)
    not_ahead(record, rules)
    judge_content(record, rules)
    return record


def read_record(data: bytes, rules: Rules) -> Record:
    """The first checks of `judge`, which need nothing but the bytes and the network."""
    # [REJECT] The bytes are a canonical record within the size limit.
    if len(data) > RECORD_BYTES_MAX:
        raise GossipReject("record too large")
    try:
        record = decode_record(data)
    except DecodeError as error:
        raise GossipReject(f"malformed record: {error.reason}") from None
    # [REJECT] The record is of this network.
    if record.header.network != rules.network_id:
        raise GossipReject("wrong network")
    return record


def not_ahead(record: Record, rules: Rules) -> None:
    """The one check of `judge` that depends on the clock; it comes before those that cost more."""
    # [IGNORE] The record is not dated ahead of our clock.
    if record.header.epoch > max(rules.epoch_now, 0) + EPOCHS_AHEAD_MAX:
        raise GossipIgnore(AHEAD)


def judge_content(record: Record, rules: Rules) -> None:
    """The last checks of `judge`: the payload, and the author's signature."""
    # [IGNORE] The kind is known: a later version may have more.
    check = _CHECKS.get(record.kind)
    if check is None:
        raise GossipIgnore("unknown kind")
    # [REJECT] The payload is well-formed and holds by itself.
    try:
        check(record, rules)
    except DecodeError as error:
        raise GossipReject(f"malformed {Kind(record.kind).name.lower()}: {error.reason}") from None
    # [REJECT] The author signed the header.
    if not record.is_signed():
        raise GossipReject("bad signature")


def _check_network(record: Record, rules: Rules) -> None:
    # [REJECT] The payload is the definition whose hash is the network id.
    if sha256(record.payload) != rules.network_id:
        raise GossipReject("not this network's definition")
    decode_network(record.payload)


def _check_manifest(record: Record, rules: Rules) -> None:
    found = decode_manifest(record.payload)
    # [IGNORE] The network lists the manifest.
    if found.digest not in rules.network.manifests:
        raise GossipIgnore("manifest is not in the network file")


def _check_join(record: Record, rules: Rules) -> None:
    join = decode_join(record.payload)
    # [REJECT] The class is in the network file.
    if join.class_index >= len(rules.network.classes):
        raise GossipReject("no such class")


def _check_leave(record: Record, _rules: Rules) -> None:
    decode_leave(record.payload)


def _check_audit(record: Record, rules: Rules) -> None:
    audit = decode_audit(record.payload, rules.network_id, record.author)
    # [REJECT] Slot and header tell one epoch order: an audit is not dated after its record.
    if audit.epoch > record.epoch:
        raise GossipReject("audit of a later epoch than its record")
    # [REJECT] Each receipt is signed by its responder over this request.
    for asked in audit.asked:
        if asked.receipt is not None and not asked.receipt.is_signed():
            raise GossipReject("a receipt's signature does not hold for this request")


def _check_duty(record: Record, rules: Rules) -> None:
    duty = decode_duty(record.payload)
    # [REJECT] A duty is revealed after its epoch.
    if duty.epoch >= record.epoch:
        raise GossipReject("duty revealed before its epoch ended")
    # [REJECT] The VRF proof holds for the key, the epoch and the beacon that the duty names.
    if not vrf_holds(duty.vrf_key, duty_alpha(rules.network_id, duty.epoch, duty.beacon), duty.proof):
        raise GossipReject("VRF proof does not hold")


def _after_slot(epoch: int, record: Record) -> None:
    # [REJECT] The disputed slot is of an epoch before the record's.
    if epoch >= record.epoch:
        raise GossipReject("vote on a slot of its own or a later epoch")


def _check_commit(record: Record, rules: Rules) -> None:
    commit = decode_commit(record.payload)
    _after_slot(commit.dispute.epoch, record)
    # [REJECT] A challenger votes by its opening, never by a commit.
    if commit.dispute.challenger == record.author:
        raise GossipReject("a challenger committed in its own dispute")
    # [REJECT] The lot's VRF proof holds for its key, and for the dispute, the stage and the beacon that it names.
    if commit.lot is not None and lot_output(rules.network_id, commit.dispute, commit.lot) is None:
        raise GossipReject("lot does not hold")


def _check_vote(record: Record, rules: Rules) -> None:
    vote = decode_vote(record.payload)
    _after_slot(vote.dispute.epoch, record)
    # [REJECT] The answer is of a class in the network file.
    if vote.class_index >= len(rules.network.classes):
        raise GossipReject("no such class")
    # [REJECT] A voter's opening has one salt.
    if vote.dispute.challenger != record.author and len(vote.salts) != 1:
        raise GossipReject("a vote opens one commit")


def _check_cut(record: Record, _rules: Rules) -> None:
    cut = decode_cut(record.payload)
    # [REJECT] The cut is proposed in the epoch of its record.
    if cut.epoch != record.epoch:
        raise GossipReject("cut of another epoch than its record")


def _check_cut_signature(record: Record, _rules: Rules) -> None:
    decode_cut_signature(record.payload)


def _check_conflict(record: Record, rules: Rules) -> None:
    conflict = decode_conflict(record.payload)
    # [REJECT] Both sides are of this network.
    if conflict.first.header.network != rules.network_id:
        raise GossipReject("conflict of another network")
    # [REJECT] The two headers cannot both stand.
    if conflict_kind(conflict.first, conflict.second) is None:
        raise GossipReject("the two records do not conflict")
    # [REJECT] The accused signed both.
    if not (conflict.first.is_signed() and conflict.second.is_signed()):
        raise GossipReject("a side of the conflict is not signed")


def conflict_kind(one: Evidence, two: Evidence) -> str | None:
    """`slot` for two claims on one slot (convicts), `fork` for two records with one number, None for neither."""
    first, second = _claim(one), _claim(two)
    if first is not None and second is not None and first[0] == second[0] and first[1] != second[1]:
        return "slot"
    return "fork" if one.header.seq == two.header.seq else None


def _claim(side: Evidence) -> tuple[object, bytes] | None:
    """What a key may say only once, and what it said: an audit or duty per slot, a commit per stage of a dispute, a
    vote per dispute, a cut per epoch and base.

    The certificate that a commit or vote cites is no part of what it says: a repeat may cite a later one. None where
    the kind has no such slot, or the payload is missing.
    """
    header, payload = side.header, side.payload
    if payload is None:
        return None
    match header.kind:
        case Kind.AUDIT:
            return decode_audit(payload, header.network, header.author).key, header.body
        case Kind.DUTY:
            return decode_duty(payload).epoch, header.body
        case Kind.VOTE_COMMIT:
            commit = decode_commit(payload)
            stage = None if commit.lot is None else commit.lot.stage
            return (header.kind, commit.dispute, stage), commit.commit
        case Kind.VOTE:
            vote = decode_vote(payload)
            return (header.kind, vote.dispute), vote.output
        case Kind.CUT:
            cut = decode_cut(payload)
            return (cut.epoch, cut.base), header.body
        case _:
            return None


def audit_of(record: Record) -> Audit:
    """The audit in an accepted record."""
    return decode_audit(record.payload, record.header.network, record.author)


_CHECKS: dict[int, Callable[[Record, Rules], None]] = {
    Kind.NETWORK: _check_network,
    Kind.MANIFEST: _check_manifest,
    Kind.JOIN: _check_join,
    Kind.LEAVE: _check_leave,
    Kind.AUDIT: _check_audit,
    Kind.DUTY: _check_duty,
    Kind.VOTE_COMMIT: _check_commit,
    Kind.VOTE: _check_vote,
    Kind.CUT: _check_cut,
    Kind.CUT_SIGNATURE: _check_cut_signature,
    Kind.CONFLICT: _check_conflict,
}
