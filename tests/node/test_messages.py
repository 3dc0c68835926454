"""The messages of gossip: limits, order, and strictness."""

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pverify.core.errors import DecodeError
from p2pverify.node.messages import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, decode_batch, encode_batches


@given(st.lists(st.binary(min_size=1, max_size=65_536).map(lambda b: b * (65_536 // len(b))), max_size=3))
@settings(max_examples=20)
def test_batches_keep_order_and_limits(big):
    """All records arrive in order, and no message exceeds its limits."""
    records = [bytes([n]) * 100 for n in range(40)] + big
    found = []
    for message in encode_batches(records):
        assert len(message) <= BATCH_BYTES_MAX
        batch = decode_batch(message)
        assert 1 <= len(batch) <= BATCH_RECORDS_MAX
        found += batch
    assert found == records


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data):
    """For any bytes, the decoder returns records or raises DecodeError."""
    with suppress(DecodeError):
        assert decode_batch(data)
