"""A segment of an archive: all records between two cuts of one path, and the states from which they go on.

Anybody can audit one segment alone: what follows from its first cut and its records is its last cut. All segments
together are the whole history. Protocol page: protocol/archive.md.
"""

from dataclasses import dataclass

from p2pverify.core.contract.network import NETWORK_BYTES_MAX, Network, decode_network
from p2pverify.core.encoding.canon import as_array, as_bytes, as_uint, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import RECORD_BYTES_MAX
from p2pverify.core.state.memory import NEAR_CARRY

DOMAIN = "p2pverify/segment/1"
SEGMENT_HEADER_BYTES_MAX = NETWORK_BYTES_MAX + NEAR_CARRY * RECORD_BYTES_MAX + 512


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says of itself.

    `first` and `last` are the ids of its cuts, and the roots are those of their states. A segment that begins with the
    network itself has the network id as `first`. `before` is the digest in the trailer of the segment that ends in
    `first`, or 32 zero bytes if its writer had none. `cuts` are the records of the cuts whose states follow the header:
    the newest NEAR_CARRY ones of the path up to `first`, oldest first. There are none if `first` is the network itself.
    `has_start` says that the state with which a forked network begins follows before them.
    """

    network_id: bytes
    definition: bytes
    first: bytes
    first_root: bytes
    last: bytes
    last_root: bytes
    before: bytes
    cuts: tuple[bytes, ...]
    has_start: bool = False

    @property
    def states(self) -> int:
        """How many states follow the header."""
        return len(self.cuts) + int(self.has_start)

    @property
    def is_first(self) -> bool:
        """Whether the segment begins with the network itself."""
        return self.first == self.network_id

    def encode(self) -> bytes:
        return encode(
            [
                DOMAIN,
                self.network_id,
                self.definition,
                self.first,
                self.first_root,
                self.last,
                self.last_root,
                self.before,
                list(self.cuts),
                int(self.has_start),
            ]
        )


def decode_segment_header(data: bytes) -> SegmentHeader:
    """Read a header strictly. Raises DecodeError; whether it holds is not checked."""
    parts = as_array(decode(data, size_max=SEGMENT_HEADER_BYTES_MAX, depth_max=2), "header", length=10)
    if parts[0] != DOMAIN:
        raise DecodeError("not a p2pverify/segment/1")
    _, network_id, definition, first, first_root, last, last_root, before, cuts, start = parts
    found = SegmentHeader(
        as_bytes(network_id, "network id", size=32),
        as_bytes(definition, "network definition", size_max=NETWORK_BYTES_MAX),
        as_bytes(first, "first cut", size=32),
        as_bytes(first_root, "first root", size=32),
        as_bytes(last, "last cut", size=32),
        as_bytes(last_root, "last root", size=32),
        as_bytes(before, "segment before", size=32),
        tuple(as_bytes(cut, "cut", size_max=RECORD_BYTES_MAX) for cut in as_array(cuts, "cuts", length_max=NEAR_CARRY)),
        bool(as_uint(start, "start", 1)),
    )
    if len(found.cuts) != (0 if found.is_first else NEAR_CARRY):
        raise DecodeError("not the cuts with which a segment begins")
    return found


def network_of(header: SegmentHeader) -> Network:
    """The network of a segment. Raises DecodeError."""
    network = decode_network(header.definition)
    if network.id != header.network_id:
        raise DecodeError("the network definition is not that of the network id")
    if header.has_start is not (network.origin is not None):
        raise DecodeError("the state with which the network begins is missing, or out of place")
    return network
