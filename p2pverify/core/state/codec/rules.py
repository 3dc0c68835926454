"""The forms of the rules that amendments have made, and of open amendments."""

from p2pverify.core.contract.network import NETWORK_BYTES_MAX, decode_network
from p2pverify.core.contract.rules.amend import FEATURES_MAX
from p2pverify.core.encoding.canon import Value, as_bytes
from p2pverify.core.records.payloads.amendment import AMENDMENT_BYTES_MAX, decode_amendment
from p2pverify.core.state.codec.forms import ID, IDS, SINCE, UINT, Form, mapping, plain, record, uint
from p2pverify.core.state.codec.rows import CLASS
from p2pverify.core.state.rules.notes import OpenAmendment, RulesInForce


def _read_definition(value: Value) -> bytes:
    found = as_bytes(value, "definition", size_max=NETWORK_BYTES_MAX)
    decode_network(found)
    return found


def _read_payload(value: Value) -> bytes:
    found = as_bytes(value, "payload", size_max=AMENDMENT_BYTES_MAX)
    decode_amendment(found)
    return found


RULES_IN_FORCE: Form[RulesInForce] = record(
    RulesInForce,
    amendment=ID,
    since=UINT,
    counted=UINT,
    definition=Form(lambda definition: definition, _read_definition),
    retired=mapping(CLASS, UINT, plain),
    features=uint(FEATURES_MAX),
)
OPEN_AMENDMENT: Form[OpenAmendment] = record(
    OpenAmendment,
    author=ID,
    payload=Form(lambda payload: payload, _read_payload),
    opened_epoch=UINT,
    approved_by=IDS,
    ready=IDS,
    starts=SINCE,
)
