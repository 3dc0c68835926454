"""The table of record kinds. Judgement, admission, the detection of equivocations, and tests use it."""

from p2pverify.core.contract.network import Network
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.kind_rule import KindRule
from p2pverify.core.records.payloads import (
    amendment,
    audit,
    cut,
    data,
    definitions,
    duty,
    membership,
    objection,
    report,
    sponsor,
    vote,
)
from p2pverify.core.records.payloads.conflict import Evidence, conflict_rule
from p2pverify.core.records.payloads.keys import handover, rekey
from p2pverify.core.records.payloads.lines import recall, release, rotation, serve
from p2pverify.core.records.payloads.rounds import losses, seal, update, votes
from p2pverify.core.records.payloads.settle import cheque, payment, pledge


def conflict_kind(one: Evidence, two: Evidence) -> str | None:
    """`slot` for two claims on one slot (this convicts), `fork` for two records with one number, None for neither."""
    first, second = _claim(one), _claim(two)
    if first is not None and second is not None and first[0] == second[0] and first[1] != second[1]:
        return "slot"
    return "fork" if one.header.seq == two.header.seq else None


def _claim(side: Evidence) -> tuple[object, bytes] | None:
    """The claim of one side (see `KindRule`); None if its kind has no claim, or its payload is missing."""
    rule = KINDS.get(side.header.kind)
    return None if rule is None or side.payload is None else rule.claim(side.header, side.payload)


#: By the kind's number on the wire.
KINDS: dict[int, KindRule] = {
    int(rule.kind): rule
    for rule in (
        definitions.NETWORK_RULE,
        definitions.MANIFEST_RULE,
        membership.JOIN_RULE,
        membership.LEAVE_RULE,
        audit.AUDIT_RULE,
        duty.DUTY_RULE,
        vote.COMMIT_RULE,
        vote.VOTE_RULE,
        cut.CUT_RULE,
        cut.CUT_SIGNATURE_RULE,
        conflict_rule(conflict_kind),
        sponsor.SPONSOR_RULE,
        objection.OBJECTION_RULE,
        report.REPORT_RULE,
        release.RELEASE_RULE,
        recall.RECALL_RULE,
        serve.SERVE_RULE,
        data.DATASET_RULE,
        data.ERASURE_RULE,
        data.STATEMENT_RULE,
        rotation.ROTATION_RULE,
        seal.UPDATE_SEAL_RULE,
        update.UPDATE_RULE,
        votes.ROUND_COMMIT_RULE,
        votes.ROUND_VOTE_RULE,
        pledge.PLEDGE_RULE,
        cheque.CHEQUE_RULE,
        payment.PAYMENT_RULE,
        losses.LOSS_SEAL_RULE,
        losses.LOSS_REPORT_RULE,
        amendment.AMENDMENT_RULE,
        amendment.APPROVAL_RULE,
        handover.HANDOVER_RULE,
        handover.OBJECT_RULE,
        rekey.REKEY_RULE,
    )
}

#: The kinds about rules and by which members change keys, which every network has.
_OF_ALL = frozenset((Kind.AMENDMENT, Kind.APPROVAL, Kind.HANDOVER, Kind.OBJECT, Kind.REKEY))
#: The kinds that a network has only with a tariff, only with a line that is trained in rounds, and only with lines.
_OF_MONEY = frozenset((Kind.PLEDGE, Kind.CHEQUE, Kind.PAYMENT))
_OF_ROUNDS = frozenset(
    (Kind.UPDATE_SEAL, Kind.UPDATE, Kind.ROUND_COMMIT, Kind.ROUND_VOTE, Kind.LOSS_SEAL, Kind.LOSS_REPORT)
)
_OF_HISTORY = frozenset(kind for kind in Kind if kind >= Kind.RELEASE) - _OF_MONEY - _OF_ALL


def rule_of(kind: int, network: Network) -> KindRule | None:
    """The rule of a kind in a network, None if the network has no such kind."""
    lacks = (
        (kind in _OF_HISTORY and not network.lines)
        or (kind in _OF_ROUNDS and not network.is_trained)
        or (kind in _OF_MONEY and network.tariff is None)
    )
    return None if lacks else KINDS.get(kind)
