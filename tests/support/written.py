"""A machine's next own record, written by a test."""

from p2pverify.core.events import Persist
from p2pverify.core.records.envelope import Kind, Record
from p2pverify.core.roles.context import Context


def write(context: Context, kind: Kind, payload: bytes, now_ms: int) -> Record:
    """Have a context sign its next own record, and carry out none of the effects."""
    persisted, _ = context.write(kind, payload, now_ms)
    assert isinstance(persisted, Persist)
    (record,) = persisted.records
    return record
