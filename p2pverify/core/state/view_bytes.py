"""The bytes of a view for readers: the head behind the view root, one row, and the proof that a view has the row.

`view` computes them from a state.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from p2pverify.core.encoding import merkle
from p2pverify.core.encoding.canon import (
    Value,
    as_array,
    as_bool,
    as_bytes,
    as_text,
    as_uint,
    check_sorted,
    decode,
    digest,
)
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import EPOCH_MAX

DOMAIN = "p2pverify/view/2"
#: The most members with weight, because a cut must hold the heads of all signers of its base.
WEIGHTED_MAX = 512
#: Bounds of a reader: the counters of a head, and the bytes of a row.
COUNTERS_MAX = 256
ROW_BYTES_MAX = 61_440
#: Items of the head of a network without lines and without a tariff.
_HEAD_ITEMS = 10
#: Places in a row (protocol/view.md).
_STANDING, _WEIGHT, _COUNTS, _CONVICTION, _CONTESTED, _HANDED, _ROW_FIELDS = 5, 6, 8, 14, 15, 17, 18


@dataclass(frozen=True, slots=True)
class ViewHead:
    """What a cut's view root is the hash of. `rows` and `disputes` are a number and a Merkle root each.

    `weighted` is the digest of the sorted keys of all peers with weight, so that a reader without the ledger can count
    the signatures of the cut. `lines` are the rows of lines and versions, None in a network without lines and without a
    tariff. `accounts` are those of accounts, None in a network without a tariff.
    """

    network: bytes
    epoch: int
    index: int
    beacon: bytes
    ledger_root: bytes
    weighted: bytes
    rows: tuple[int, bytes]
    disputes: tuple[int, bytes]
    counters: tuple[tuple[str, int], ...]
    lines: tuple[int, bytes] | None = None
    accounts: tuple[int, bytes] | None = None

    def to_value(self) -> list[object]:
        return [
            DOMAIN,
            self.network,
            self.epoch,
            self.index,
            self.beacon,
            self.ledger_root,
            self.weighted,
            list(self.rows),
            list(self.disputes),
            [list(counter) for counter in self.counters],
            *([] if self.lines is None else [list(self.lines)]),
            *([] if self.accounts is None else [list(self.accounts)]),
        ]

    @property
    def root(self) -> bytes:
        """The view root: SHA-256 of the canonical head."""
        return digest(self.to_value())


def read_view_head(value: Value) -> ViewHead:
    """Read a decoded head. Raises DecodeError."""
    items = as_array(value, "view", length_max=_HEAD_ITEMS + 2)
    if len(items) < _HEAD_ITEMS:
        raise DecodeError("view: too few items")
    domain, network, epoch, index, beacon, ledger_root, weighted, rows, disputes, counters = items[:_HEAD_ITEMS]
    if domain != DOMAIN:
        raise DecodeError(f"not a {DOMAIN}")
    pairs = [as_array(item, "counter", length=2) for item in as_array(counters, "counters", length_max=COUNTERS_MAX)]
    names = [as_text(name, "counter", 64) for name, _ in pairs]
    check_sorted(names, "counters")
    return ViewHead(
        as_bytes(network, "network", size=32),
        as_uint(epoch, "epoch", EPOCH_MAX),
        as_uint(index, "index"),
        as_bytes(beacon, "beacon", size=32),
        as_bytes(ledger_root, "ledger root", size=32),
        as_bytes(weighted, "weighted", size=32),
        _merkle(rows, "scores"),
        _merkle(disputes, "disputes"),
        tuple((name, as_uint(count, "count")) for name, (_, count) in zip(names, pairs, strict=True)),
        _merkle(items[_HEAD_ITEMS], "lines") if len(items) > _HEAD_ITEMS else None,
        _merkle(items[_HEAD_ITEMS + 1], "accounts") if len(items) > _HEAD_ITEMS + 1 else None,
    )


def _merkle(value: Value, name: str) -> tuple[int, bytes]:
    count, root = as_array(value, name, length=2)
    return as_uint(count, f"{name} count"), as_bytes(root, f"{name} root", size=32)


def weighted_digest(peers: Iterable[bytes]) -> bytes:
    """The digest in a view's head of the peers with weight."""
    return digest(sorted(peers))


@dataclass(frozen=True, slots=True)
class ScoreProof:
    """One row of a view with its proof: the view's `head`, the encoded `row`, its `position`, and the Merkle `path`."""

    head: ViewHead
    row: bytes
    position: int
    path: tuple[bytes, ...]

    def holds(self, root: bytes) -> bool:
        """Whether the row is in the view with this root. A cut record names the root, and two thirds signed it."""
        count, rows_root = self.head.rows
        found = merkle.root_of_path(merkle.leaf(self.row), self.position, count, self.path)
        return self.head.root == root and found == rows_root


@dataclass(frozen=True, slots=True)
class AccountProof:
    """One row of an account with its proof; the fields are those of `ScoreProof`."""

    head: ViewHead
    row: bytes
    position: int
    path: tuple[bytes, ...]

    def holds(self, root: bytes) -> bool:
        """Whether the row is in the view with this root."""
        if self.head.accounts is None:
            return False
        count, rows_root = self.head.accounts
        found = merkle.root_of_path(merkle.leaf(self.row), self.position, count, self.path)
        return self.head.root == root and found == rows_root


@dataclass(frozen=True, slots=True)
class ShownRow:
    """What a row says for people, read from its bytes. Rates in parts per million. The other fields are not read."""

    peer: bytes
    class_index: int
    standing: str
    weight: int
    low_ppm: int
    high_ppm: int
    agreements: int
    dissents: int
    inconclusive: int
    conviction: str
    contested_by: tuple[bytes, ...]
    manifest: bytes | None = None  # of the version that it serves (32 B); None if its model has no line
    is_behind: bool = False
    handed: tuple[int, int, bytes | None] = (0, -1, None)  # moves to other keys, epoch of the newest, and the next one


def read_score_row(data: bytes) -> ShownRow:
    """Read the row of a proof that holds. Raises DecodeError."""
    row = as_array(decode(data, size_max=ROW_BYTES_MAX, depth_max=4), "row")
    if len(row) < _ROW_FIELDS:
        raise DecodeError("row: too few items")
    counts = as_array(row[_COUNTS], "counts")[:5]
    low, high, agreements, dissents, inconclusive = (
        as_uint(count, "count") for count in as_array(counts, "counts", length=5)
    )
    return ShownRow(
        as_bytes(row[0], "peer", size=32),
        as_uint(row[1], "class"),
        as_text(row[_STANDING], "standing", 32),
        as_uint(row[_WEIGHT], "weight", 1),
        low,
        high,
        agreements,
        dissents,
        inconclusive,
        as_text(row[_CONVICTION], "conviction", 256),
        tuple(as_bytes(peer, "contested by", size=32) for peer in as_array(row[_CONTESTED], "contested by")),
        *_version(row[_ROW_FIELDS:]),
        _handed(row[_HANDED]),
    )


def _handed(value: Value) -> tuple[int, int, bytes | None]:
    handovers, epoch, moves_to = as_array(value, "handed over", length=3)
    successor = None if moves_to is None else as_bytes(moves_to, "moves to", size=32)
    return as_uint(handovers, "handovers"), as_uint(epoch, "epoch", EPOCH_MAX + 1) - 1, successor


def _version(items: Sequence[Value]) -> tuple[bytes | None, bool]:
    """The last item of a row in a network with lines: manifest, and whether the peer is behind."""
    if not items or items[0] is None:
        return None, False
    manifest, is_behind = as_array(items[0], "version", length=2)
    return as_bytes(manifest, "manifest", size=32), as_bool(is_behind, "behind")
