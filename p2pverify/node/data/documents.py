"""The live data sets as a document, and the answer to an order that signs a record."""

from dataclasses import dataclass, field
from typing import Literal

from p2pverify.node.reports.documents.shape import ApiDocument, Count


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
    kind: Literal["dataset", "erasure", "statement"]
    record: str | None
    reason: str | None
