"""The messages of gossip: batches of records.

This module handles only bytes and their limits; see `protocol/gossip.md`. The machine decides whether to accept a
record.
"""

from collections.abc import Iterable, Iterator

from p2pverify.core.encoding.canon import as_array, as_bytes, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.records.envelope import RECORD_BYTES_MAX

BATCH_RECORDS_MAX = 16
BATCH_BYTES_MAX = 128 * 1024
_ITEM_HEAD_BYTES = 5  # the longest head of a CBOR byte string


def encode_batches(records: Iterable[bytes]) -> Iterator[bytes]:
    """Gossip messages that hold these records, in order: each a canonical array of byte strings."""
    batch: list[bytes] = []
    size = 1
    for record in records:
        cost = len(record) + _ITEM_HEAD_BYTES
        if batch and (len(batch) == BATCH_RECORDS_MAX or size + cost > BATCH_BYTES_MAX):
            yield encode(batch)
            batch, size = [], 1
        batch.append(record)
        size += cost
    if batch:
        yield encode(batch)


def decode_batch(message: bytes) -> tuple[bytes, ...]:
    """The records' bytes in a gossip message. Raises DecodeError."""
    items = as_array(decode(message, size_max=BATCH_BYTES_MAX, depth_max=1), "batch", length_max=BATCH_RECORDS_MAX)
    if not items:
        raise DecodeError("an empty batch")
    return tuple(as_bytes(item, "record", size_max=RECORD_BYTES_MAX) for item in items)
