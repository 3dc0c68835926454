"""A peer signs nothing that others refuse, because they would then refuse all later records of its log."""

import pytest

from p2pverify.core.encoding.canon import encode
from p2pverify.core.errors import LocalProtocolError
from p2pverify.core.records.envelope import Kind
from p2pverify.core.records.payloads.lots import DisputeKey
from p2pverify.core.records.payloads.objection import Objection
from p2pverify.core.records.payloads.vote import Commit, Vote
from p2pverify.core.roles.context import Context
from tests.support.networks import make_network, seeds

EPOCH = 3


@pytest.fixture
def context() -> Context:
    return Context(make_network(seeds(2)), seeds(2)[0], 0)


#: A slot of the epoch in which the record would be signed.
DISPUTED = DisputeKey(bytes(32), EPOCH, 0)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Kind.VOTE, "vote on a slot of its own or a later epoch"),
        (Kind.VOTE_COMMIT, "vote on a slot of its own or a later epoch"),
        (Kind.OBJECTION, "objection to a slot of its own or a later epoch"),
        (Kind.LEAVE, "malformed leave"),
    ],
)
def test_what_others_refuse_is_not_signed(context: Context, kind: Kind, reason: str) -> None:
    key, cut = DISPUTED, bytes(32)
    payloads = {
        Kind.VOTE: Vote(key, cut, 0, bytes(32), (bytes(32),)).encode(),
        Kind.VOTE_COMMIT: Commit(key, cut, bytes(32)).encode(),
        Kind.OBJECTION: Objection(key, cut, 0, bytes(32), (), bytes(32)).encode(),
    }
    now_ms = context.params.epoch_start_ms(EPOCH)
    with pytest.raises(LocalProtocolError, match=reason):
        list(context.write(kind, payloads.get(kind, encode([1])), now_ms))
    assert not len(context.ledger)
    assert not context.has_signed
