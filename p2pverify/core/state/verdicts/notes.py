"""What a state notes of audits, duties and disputes. These are values only: the other modules here compute them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from p2pverify.core.blind import committees
from p2pverify.core.blind.values import BlindVote
from p2pverify.core.contract.network import Network
from p2pverify.core.inference.compare import Measures
from p2pverify.core.records.payloads.audit import Audit
from p2pverify.core.records.payloads.lots import DisputeKey


@dataclass(frozen=True, slots=True)
class Panel:
    """The asked peers of a slot and their classes at the anchor; `is_across`: a referee judges the answers.

    All serve the challenger's `version`. `contract` is the contract among the members that do.
    """

    targets: tuple[bytes, ...]
    classes: tuple[int, ...]
    is_across: bool
    version: int
    contract: Network


def first_stage(audit: Audit, electorate: frozenset[bytes]) -> int:
    """The stage in which the dispute of an audit opens. The few seats of a report vote at once.

    Of the seats of a private report nine are named first, so that no more than needed see the question.
    """
    if audit.is_private and len(electorate) > committees.COMMITTEES[1].seats:
        return 1
    if audit.is_report:
        return committees.EVERYONE
    return committees.first_stage(len(electorate), len(electorate - audit.parties))


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute(BlindVote):
    """An open or decided dispute: a blind vote on the answer to an audit's question.

    The cut that opened it is the first one that held both audit and duty. `measures` come from votes across classes, by
    the digest that is voted on.
    """

    audit: Audit
    opened_epoch: int
    duty_seq: int
    sampled: bool
    is_long: bool
    settled: frozenset[bytes] = frozenset()
    has_effect: bool = False  # whether the decision was settled
    objections: Mapping[bytes, bytes] = field(default_factory=dict)  # member -> its own result
    measures: Mapping[bytes, Measures] = field(default_factory=dict)
    version: int = 0  # the number of the challenger's version at the anchor of the slot

    @property
    def key(self) -> DisputeKey:
        return self.audit.key

    @property
    def is_across(self) -> bool:
        return self.audit.is_across

    @property
    def is_report(self) -> bool:
        return self.audit.is_report  # the `electorate` are its seats then, and `duty_seq` is the report's number

    @property
    def shown_to(self) -> frozenset[bytes]:
        """Who may see the question now. Of a private report this is a named committee first."""
        return self.round.seats if self.round.is_named else self.electorate

    @property
    def parties(self) -> frozenset[bytes]:
        return self.audit.parties

    @property
    def sealed_before(self) -> frozenset[bytes]:
        """The challenger, which has sealed its answer with its nonces. A reporter has sealed none."""
        return frozenset() if self.is_report else frozenset((self.audit.challenger,))

    @property
    def first_stage(self) -> int:
        return first_stage(self.audit, self.electorate)

    @property
    def quorum(self) -> int:
        """More than half. Drawn seats of a report must be as many as in a committee."""
        count = len(self.electorate)
        if self.is_report and count == committees.EVERYONE_MAX:
            return committees.COMMITTEES[committees.STAGE_MAX].equal
        return count // 2 + 1


@dataclass(frozen=True, slots=True)
class DutyNote:
    """The digests of the payloads of an author's duty, and of the audits that came before it, by slot."""

    body: bytes
    audits: Mapping[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditNote:
    """An audit that waits for its duty, with the payload of its record and the digest of that."""

    audit: Audit
    payload: bytes
    body: bytes
    seq: int
