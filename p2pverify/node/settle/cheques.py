"""What a node is owed and owes for answers beside the ledger, as a document."""

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.machine import Machine
from p2pverify.core.roles.settle.creditor import known_cheque
from p2pverify.node.settle.documents import BillDocument, ChequeDocument, ChequesDocument, TabDocument


def cheques_document(machine: Machine, now_ms: int) -> ChequesDocument:
    """The cheques that this node holds, what its clients owe, and what it owes itself."""
    network, final = machine.network, machine.fold.latest
    epoch = max(0, network.params.epoch_at(now_ms))
    credit = machine.money.creditor.credit
    tabs = sorted(credit.tabs.items())
    return ChequesDocument(
        schema="p2pverify/cheques/1",
        network=network.id.hex(),
        unit=None if network.tariff is None else network.tariff.unit,
        price=0 if network.tariff is None else network.tariff.answer,
        cheques=tuple(
            ChequeDocument(
                debtor=peer_id(client),
                until=each.until,
                cumulative=each.cumulative,
                count=each.count,
                signature=each.signature.hex(),
                known=known_cheque(final, machine.key, client, each.until),
            )
            for client, tab in tabs
            for each in tab.cheques
            if each.until >= epoch
        ),
        tabs=tuple(
            TabDocument(
                client=peer_id(client), uncovered=credit.uncovered(client, epoch), owed=credit.owed(client, epoch)
            )
            for client, _ in tabs
        ),
        bills=tuple(
            BillDocument(
                creditor=peer_id(creditor),
                due=bill.open,
                until=None if bill.cheque is None else bill.cheque.until,
                cumulative=0 if bill.cheque is None else bill.cheque.cumulative,
                told=bill.told,
            )
            for creditor, bill in sorted(machine.money.payer.bills.items())
        ),
    )
