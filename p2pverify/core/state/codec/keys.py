"""The forms of handovers: those that wait, and the tombstones of keys whose row has moved."""

from p2pverify.core.records.payloads.keys.handover import Keys
from p2pverify.core.state.codec.forms import BOOL, ID, SINCE, UINT, Form, maybe, record
from p2pverify.core.state.codec.rows import SEQ, SEQS
from p2pverify.core.state.keys.notes import MovedKey, OpenHandover

KEYS: Form[Keys] = record(Keys, next_key=maybe(ID), vrf_key=ID, box_key=maybe(ID))
OPEN_HANDOVER: Form[OpenHandover] = record(
    OpenHandover,
    successor=ID,
    seq=SEQ,
    is_signed=BOOL,
    keys=KEYS,
    since_epoch=UINT,
    since_index=UINT,
    was_active=BOOL,
)
MOVED_KEY: Form[MovedKey] = record(MovedKey, successor=ID, epoch=UINT, index=UINT, weighted_index=SINCE, forks=SEQS)
