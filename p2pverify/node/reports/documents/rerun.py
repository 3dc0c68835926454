"""The results of running decisions again, as documents: a part of a verification, and the check of a proof file."""

from dataclasses import dataclass, field
from typing import Literal

from p2pverify.node.reports.documents.shape import CLASS, Count


@dataclass(frozen=True, kw_only=True)
class WrongDecision:
    """A decision that this machine does not compute. `voters` signed votes for it; an opening by `challenger` else.

    `id` names the audit, as `p2pverify audits` does. Outputs are in hexadecimal.
    """

    id: str
    challenger: str
    epoch: Count
    slot: Count
    across: bool
    disputed: bool
    cut: str
    decision: str
    computed: str
    voters: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class NotChecked:
    """How many cases were not run again: of other classes or versions, without answers or question, and refused by the
    engine."""

    other_classes: Count
    other_versions: Count
    without_answers: Count
    sealed: Count = field(
        metadata={"description": "reports, whose questions were shown to the seats of a dispute alone"}
    )
    refused_by_engine: Count


@dataclass(frozen=True, kw_only=True)
class RerunDocument:
    """Decisions that this machine ran again. `candidates` are the cases of the ledger that it could run."""

    class_: str = field(metadata=CLASS)
    engine: str
    numeric_path: str
    selftest: str
    candidates: Count
    disputes: Count
    undisputed: Count
    agree: Count
    wrong: tuple[WrongDecision, ...]
    not_checked: NotChecked
    sealed: tuple[str, ...] = field(metadata={"description": "names of the first ones of these reports"})
    proof: str | None


@dataclass(frozen=True, kw_only=True)
class ProofCheckDocument:
    """The check of a proof file. `in_ledger` is None if no ledger was given to hold the decisions against."""

    schema: Literal["p2pverify/rerun-proof-check/1"]
    confirmed: bool
    reason: str | None
    network: str
    network_name: str
    network_is_pinned: bool
    in_ledger: bool | None
    class_: str | None = field(metadata=CLASS)
    engine: str | None
    numeric_path: str | None
    decisions: tuple[WrongDecision, ...]
