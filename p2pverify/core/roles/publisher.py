"""Records that the operator has this peer sign: of data, of versions, and of money.

A record is signed at once or not at all. The operator waits for the answer, and can order it again.
"""

from collections.abc import Callable, Mapping

from p2pverify.core.contract.network import Network
from p2pverify.core.errors import GossipReject
from p2pverify.core.events import Effects, Respond, WriteRecord
from p2pverify.core.records.envelope import NO_PREV, Header, Kind, Record, body_of
from p2pverify.core.records.judge import judge_payload
from p2pverify.core.records.kind_rule import Rules
from p2pverify.core.records.kinds import rule_of
from p2pverify.core.records.payloads.amendment import decode_amendment, decode_approval
from p2pverify.core.records.payloads.data import decode_dataset, decode_erasure
from p2pverify.core.records.payloads.keys.handover import decode_object
from p2pverify.core.records.payloads.lines.recall import decode_recall
from p2pverify.core.records.payloads.lines.release import decode_signed_release
from p2pverify.core.records.payloads.lines.rotation import decode_rotation
from p2pverify.core.records.payloads.lines.serve import decode_serve
from p2pverify.core.records.payloads.settle.cheque import decode_cheque
from p2pverify.core.records.payloads.settle.payment import decode_payment
from p2pverify.core.records.payloads.settle.pledge import decode_pledge
from p2pverify.core.roles.context import Context
from p2pverify.core.state.history.datasets import live_roots, refuse_dataset, refuse_erasure, refuse_statement
from p2pverify.core.state.keys.take import refuse_object
from p2pverify.core.state.lines.take import (
    refuse_author,
    refuse_recall,
    refuse_release,
    refuse_rotation,
    refuse_serve,
)
from p2pverify.core.state.lines.versions import notes_of
from p2pverify.core.state.rules.notes import rules_of
from p2pverify.core.state.rules.take import refuse_amendment, refuse_approval, why_not
from p2pverify.core.state.settle.take import refuse_cheque, refuse_payment, refuse_pledge
from p2pverify.core.state.state import State


def _refuse_release(network: Network, state: State, author: bytes, payload: bytes) -> str | None:
    return refuse_author(state, author) or refuse_release(network, state, decode_signed_release(payload))


def _refuse_recall(network: Network, state: State, author: bytes, payload: bytes) -> str | None:
    recall = decode_recall(payload)
    return refuse_recall(state, author, notes_of(network, state, recall.line), recall)


def _refuse_rotation(network: Network, state: State, author: bytes, payload: bytes) -> str | None:
    rotation = decode_rotation(payload)
    return refuse_author(state, author) or refuse_rotation(notes_of(network, state, rotation.line), rotation)


def _refuse_amendment(network: Network, state: State, author: bytes, payload: bytes) -> str | None:
    amendment = decode_amendment(payload)
    reason = why_not(rules_of(network, state.rules), amendment, state.epoch)
    return reason or refuse_amendment(network, state, author, amendment)


NOT_NOW = "this peer may not sign now"
NOT_HELD = "this node does not have the weights of that version"
#: For each kind that may be ordered: why the fold would not count a payload, or None.
_REFUSE: Mapping[Kind, Callable[[Network, State, bytes, bytes], str | None]] = {
    Kind.DATASET: lambda _network, state, author, payload: refuse_dataset(
        state, author, decode_dataset(payload), live_roots(state).get(author, ())
    ),
    Kind.ERASURE: lambda _network, state, author, payload: refuse_erasure(state, author, decode_erasure(payload)),
    Kind.STATEMENT: lambda _network, state, author, _payload: refuse_statement(state, author),
    Kind.RELEASE: lambda network, state, author, payload: (
        refuse_author(state, author) or refuse_release(network, state, decode_signed_release(payload))
    ),
    Kind.RECALL: _refuse_recall,
    Kind.ROTATION: _refuse_rotation,
    Kind.SERVE: lambda network, state, author, payload: refuse_serve(
        network, state, author, decode_serve(payload).manifest
    ),
    Kind.OBJECT: lambda _network, state, author, payload: refuse_object(
        state, author, decode_object(payload).successor
    ),
    Kind.PLEDGE: lambda network, state, author, payload: refuse_pledge(network, state, author, decode_pledge(payload)),
    Kind.CHEQUE: lambda _network, state, author, payload: refuse_cheque(state, author, decode_cheque(payload)),
    Kind.AMENDMENT: _refuse_amendment,
    Kind.APPROVAL: lambda _network, state, author, payload: refuse_approval(
        state, author, decode_approval(payload).amendment
    ),
    Kind.PAYMENT: lambda network, state, author, payload: refuse_payment(
        network, state, author, decode_payment(payload)
    ),
}

_SIGNED, _REFUSED = b"+", b"-"


def outcome_of(data: bytes) -> tuple[bytes | None, str | None]:
    """The id (32 B) of the record that was signed, or the reason why none was; from what a ticket got."""
    return (data[1:], None) if data.startswith(_SIGNED) else (None, data[1:].decode())


class Publisher:
    """Signs what the operator orders. `is_awake` says whether the machine has read its own log."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def write(self, order: WriteRecord, now_ms: int, *, is_awake: bool) -> Effects[None]:
        """Sign and publish a record, and answer the order's ticket with its id or with the reason against it."""
        refused = self._refuse(order, now_ms, is_awake=is_awake)
        if refused is not None:
            yield Respond(order.ticket, _REFUSED + refused.encode())
            return
        record = yield from self._context.write(order.kind, order.payload, now_ms)
        yield Respond(order.ticket, _SIGNED + record.id)

    def _refuse(self, order: WriteRecord, now_ms: int, *, is_awake: bool) -> str | None:
        """Why this peer does not sign a payload. Counted by the records that it holds, final or not."""
        context = self._context
        refuse = _REFUSE.get(order.kind)
        if rule_of(order.kind, context.network) is None or refuse is None:
            return "this network has no such records"
        if not is_awake or context.is_leaving or not context.may_write(now_ms):
            return NOT_NOW
        epoch = context.params.epoch_at(now_ms)
        header = Header(
            context.network_id, context.key, epoch, 0, NO_PREV, int(order.kind), body_of(order.kind, order.payload)
        )
        record = Record(header, b"", order.payload, b"", b"")
        try:
            judge_payload(record, Rules(context.network, context.network_id, epoch))
        except GossipReject as error:
            return error.reason
        if order.kind == Kind.SERVE and decode_serve(order.payload).manifest not in context.held:
            return NOT_HELD
        return refuse(context.network, context.fold.provisional(epoch), context.key, order.payload)
