"""A new data set of this home: random salts, the commitments to its rows, and its card."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from p2pverify.core.data.commitments import commit_card, rows_root
from p2pverify.core.data.texts import RowSchema, TextSchema
from p2pverify.core.records.payloads.data import BASES, Dataset
from p2pverify.core.training.terms import TrainingTerms
from p2pverify.node.data.statements import new_salt
from p2pverify.node.data.store import OwnDataset, OwnRow


@dataclass(frozen=True, slots=True)
class Terms:
    """What the owner says of a data set beside its rows: see `Dataset`."""

    licence: str
    basis: int
    parents: tuple[bytes, ...]
    recipe: bytes | None
    until: int
    training: TrainingTerms | None = None


def new_dataset(name: str, schema: RowSchema, rows: Sequence[bytes], terms: Terms, card: bytes | None) -> OwnDataset:
    """A data set with a fresh salt for each row. Without a card it gets a short one."""
    kept = tuple(OwnRow(new_salt(), row) for row in rows)
    card_salt, shown = new_salt(), _short_card(name, schema, len(rows), terms) if card is None else card
    said = Dataset(
        rows_root([row.commitment for row in kept]),
        len(kept),
        schema.id,
        terms.licence,
        terms.basis,
        terms.parents,
        terms.recipe,
        commit_card(card_salt, shown),
        terms.until,
        terms.training,
    )
    return OwnDataset(name, schema, said, shown, card_salt, kept)


def _short_card(name: str, schema: RowSchema, rows: int, terms: Terms) -> bytes:
    card: dict[str, object] = {
        "name": name,
        "rows": rows,
        "licence": terms.licence,
        "basis": BASES[terms.basis],
    }
    if isinstance(schema, TextSchema):
        card |= {"text": schema.column}
    else:
        card |= {
            "features": [{"name": feature.name, "unit": feature.unit} for feature in schema.features],
            "label": {"name": schema.label, "values": list(schema.labels)},
        }
    return json.dumps(card, indent=2, ensure_ascii=False).encode() + b"\n"
