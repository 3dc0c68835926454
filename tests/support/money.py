"""Networks with a tariff, and cheques of clients."""

from dataclasses import replace

from p2pverify.core.contract.network import Network
from p2pverify.core.contract.tariff import Tariff
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.records.payloads.settle.cheque import Cheque
from p2pverify.core.settle.cheques import ChequeStatement

TARIFF = Tariff(
    unit="credit",
    answer=10_000,
    audit=4_000,
    vote=2_000,
    dissent=30_000,
    vest_epochs=8,
    limit=1_000_000,
    rows_curve=((0, 0), (20, 500), (100, 1000)),
    late_curve=((0, 1000), (2, 1000), (4, 250)),
    base_permille=300,
)
CLIENT = sha256(b"client")


def with_tariff(network: Network, **changes: object) -> Network:
    """The network with a tariff."""
    return replace(network, tariff=replace(TARIFF, **changes))  # type: ignore[arg-type]


def cheque_of(
    network: bytes, creditor: bytes, cumulative: int, count: int = 1, *, until: int = 1000, client: bytes = CLIENT
) -> Cheque:
    """A cheque that a client (seed, 32 B) signed."""
    debtor = sign.public_key(client)
    said = ChequeStatement(network, debtor, creditor, until, cumulative, count)
    return Cheque(debtor, until, cumulative, count, said.sign(client))
