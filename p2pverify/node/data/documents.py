"""The live data sets as a document, and the answer to an order that signs a record."""

from dataclasses import dataclass, field
from typing import Literal

from p2pverify.node.reports.documents.shape import ApiDocument, Count

SignedKind = Literal[
    "dataset",
    "erasure",
    "statement",
    "release",
    "recall",
    "rotation",
    "serve",
    "pledge",
    "cheque",
    "payment",
    "amendment",
    "approval",
    "object",
]


@dataclass(frozen=True, kw_only=True)
class DatasetDocument:
    """One data set that its owner offers. `root` and `rows` are those after all erasures."""

    id: str = field(metadata={"description": "the id of its record"})
    owner: str
    root: str
    rows: Count
    row_schema: str = field(metadata={"description": "SHA-256 of the schema of its rows"})
    licence: str
    basis: str = field(metadata={"description": "why data of people may be used; 'none' if it is not about people"})
    parents: tuple[str, ...]
    recipe: str | None
    card: str = field(metadata={"description": "salted commitment to its data card"})
    first_root: str
    first_rows: Count
    from_epoch: Count = field(metadata={"description": "the epoch of the cut that brought it"})
    until_epoch: Count = field(metadata={"description": "the first epoch in which it is offered no more"})
    erasures: Count
    erased: Count


@dataclass(frozen=True, kw_only=True)
class DatasetsDocument(ApiDocument):
    """The live data sets: of the newest final cut, or provisional. `cut` is null before the first final cut."""

    schema: Literal["p2pverify/datasets/1"]
    network: str
    final: bool
    cut: str | None
    epoch: Count
    datasets: tuple[DatasetDocument, ...]


@dataclass(frozen=True, kw_only=True)
class SignedDocument(ApiDocument):
    """The id of the record that the node has signed and written to its disk; or, without it, the `reason`."""

    schema: Literal["p2pverify/signed/1"]
    kind: SignedKind
    record: str | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class ErasureDocument:
    """An erasure in a data set. `epoch` is that of the first certified cut that holds it."""

    id: str
    rows_left: Count
    root: str
    why: str
    epoch: Count | None


@dataclass(frozen=True, kw_only=True)
class TraceNode:
    """A record, or a name that the ledger does not know. Its parents follow it, with a `depth` that is one greater.

    `epoch` and `cut` are those of the first certified cut that holds the record, null if none does. `opened` is the
    subject in words, if a file opens the statement.
    """

    depth: Count
    kind: Literal["statement", "dataset", "unknown"]
    id: str
    again: bool = field(metadata={"description": "whether it stands above already, with its parents"})
    author: str | None = None
    signed_with: str | None = None
    holds: bool = True
    epoch: Count | None = None
    cut: str | None = None
    claimed_epoch: Count | None = None
    parents: tuple[str, ...] = ()
    what: str | None = None
    subject: str | None = None
    commit: str | None = None
    opened: str | None = None
    erasures: tuple[ErasureDocument, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TraceDocument(ApiDocument):
    """All that a ledger shows of a subject, up to a certified cut. Each of the `faults` is a check that failed."""

    schema: Literal["p2pverify/trace/1"]
    network: str
    subject: str
    cut: str
    epoch: Count
    nodes: tuple[TraceNode, ...]
    complete: bool
    faults: tuple[str, ...]
