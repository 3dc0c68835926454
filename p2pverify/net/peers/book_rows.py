"""The address book as rows on disk, and back.

Only signed statements come back, so a changed file cannot lead us to addresses of its choice. A statement that has
expired is still an address to try, because the handshake proves who answers there; it is not passed on. The peers of
the longest connections are dialled first: whoever fills the book with hearsay cannot keep a restarted peer from the
ones that it knows.
"""

from collections.abc import Mapping, Sequence

from p2pverify.core.encoding import canon
from p2pverify.core.errors import DecodeError
from p2pverify.net.peers.address_book import AddressBook
from p2pverify.net.peers.signed_addresses import (
    GLOBAL,
    SignedAddresses,
    addresses_from_value,
    reach,
    usable,
)
from p2pverify.node.endpoints.shelf import KEPT_PEERS_MAX, STATEMENT_BYTES_MAX, KeptPeer

FIRST_REDIALLED = 4
MET_KEPT_MS = 30 * 86_400_000  # how long after our last connection a peer is still worth a dial
_DEPTH_MAX = 4


def rows_of(book: AddressBook, linked_s: Mapping[bytes, float], now_s: float, now_ms: int) -> list[KeptPeer]:
    """The rows to write. `linked_s` is how long the connection to a peer has lasted.

    If there are too many, peers that were met come before hearsay.
    """
    rows = [
        KeptPeer(
            target.peer,
            canon.encode(target.statement.to_value()),
            now_ms if target.peer in linked_s else _unix_ms(target.met_s, now_s, now_ms),
            target.failures,
            round(1000 * linked_s.get(target.peer, 0.0)),
            min((reach(address.host) for address in target.addresses), default=GLOBAL),
        )
        for target in book.targets()
        if target.peer is not None and target.statement is not None
    ]
    rows.sort(key=lambda row: (-row.linked_ms, -row.met_ms, row.failures, row.peer))
    return rows[:KEPT_PEERS_MAX]


def restore(book: AddressBook, rows: Sequence[KeptPeer], network: bytes, now_s: float, now_ms: int) -> int:
    """Put rows into a fresh book. Returns how many were dropped as damaged or too old."""
    longest = sorted((row for row in rows if row.linked_ms > 0), key=lambda row: (-row.linked_ms, row.peer))
    first = {row.peer for row in longest[:FIRST_REDIALLED]}
    dropped = 0
    for row in rows[:KEPT_PEERS_MAX]:
        try:
            statement = decode_kept_statement(row.statement, row.peer, network)
        except DecodeError:
            dropped += 1
            continue
        is_current = statement.is_current(now_ms)
        was_met = 0 < now_ms - row.met_ms <= MET_KEPT_MS and row.met_ms > 0
        told_from = None if row.reach_least >= GLOBAL else statement_host(statement, row.reach_least)
        addresses = usable(statement.addresses, told_from)
        if not addresses or not (is_current or was_met):
            dropped += 1
            continue
        book.restore(
            row.peer,
            addresses,
            statement,
            now_s,
            was_met=was_met,
            failures=row.failures,
            is_first=row.peer in first,
        )
    return dropped


def statement_host(statement: SignedAddresses, reach_least: int) -> str | None:
    """A host of a statement from which its addresses of at least this reach may be told."""
    hosts = [address.host for address in statement.addresses if address.kind in ("ip4", "ip6")]
    return next((host for host in hosts if reach(host) == reach_least), None)


def decode_kept_statement(data: bytes, peer: bytes, network: bytes) -> SignedAddresses:
    """The statement of a row. Raises DecodeError unless this peer has signed it for this network."""
    value = canon.decode(data, size_max=STATEMENT_BYTES_MAX, depth_max=_DEPTH_MAX)
    statement = addresses_from_value(value)
    if statement.peer != peer or statement.network != network or not statement.is_signed():
        raise DecodeError("the statement is not signed by this peer for this network")
    return statement


def _unix_ms(met_s: float, now_s: float, now_ms: int) -> int:
    return 0 if met_s < 0 else max(1, now_ms - round(1000 * (now_s - met_s)))
