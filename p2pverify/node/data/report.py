"""The live data sets of a state as a document."""

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.records.payloads.data import BASES, decode_dataset
from p2pverify.core.replica.ledger import Ledger
from p2pverify.core.state.state import State
from p2pverify.node.data.documents import DatasetDocument, DatasetsDocument


def datasets_document(ledger: Ledger, network_id: bytes, state: State, *, final: bool) -> DatasetsDocument:
    """The live data sets, in the order in which cuts brought them. The ledger holds the state's records."""
    is_final = final and state.index > 0
    order = sorted(state.datasets, key=lambda key: (state.datasets[key].index, key))
    return DatasetsDocument(
        schema="p2pverify/datasets/1",
        network=network_id.hex(),
        final=is_final,
        cut=state.id.hex() if is_final else None,
        epoch=state.epoch,
        datasets=tuple(found for key in order if (found := _row(ledger, state, key)) is not None),
    )


def _row(ledger: Ledger, state: State, key: bytes) -> DatasetDocument | None:
    record, live = ledger.get(key), state.datasets[key]
    if record is None:  # the log of a dropped author begins anew
        return None
    said = decode_dataset(record.payload)
    return DatasetDocument(
        id=key.hex(),
        owner=peer_id(live.author),
        root=live.root.hex(),
        rows=live.rows,
        row_schema=live.schema.hex(),
        licence=said.licence,
        basis=BASES[said.basis],
        parents=tuple(parent.hex() for parent in said.parents),
        recipe=None if said.recipe is None else said.recipe.hex(),
        card=said.card.hex(),
        first_root=said.root.hex(),
        first_rows=said.rows,
        from_epoch=live.epoch,
        until_epoch=live.until,
        erasures=live.erasures,
        erased=live.erased,
    )
