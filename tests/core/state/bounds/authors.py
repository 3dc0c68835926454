"""What the worst authors write, and a network by the usual rules in which they write it."""

import random
from collections.abc import Iterable
from functools import cache

from p2pverify.core.contract.network import Network
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.inference.question import Receipt
from p2pverify.core.records.envelope import Header, Kind
from p2pverify.core.records.payloads.audit import AskedPeer, Audit
from p2pverify.core.records.payloads.conflict import Conflict, Evidence
from p2pverify.core.records.payloads.cut import HEADS_MAX, Head
from tests.support.networks import make_network, seeds
from tests.support.steps import Steps, key

#: The values of `network new`.
USUAL = {"slots_milli": 2_000, "panel_size": 3, "disputes_per_cut": 8, "growth_epochs": 10_080}


def network(founders: int) -> Network:
    return make_network(seeds(founders, "bounds"), **USUAL)


def founded(founders: int = 4, others: Iterable[bytes] = ()) -> Steps:
    """A network after its first cut, in which the founders and some others have joined."""
    steps = Steps(network(founders))
    for peer in (*steps.network.founders, *others):
        steps.join(peer)
    steps.step()
    return steps


@cache
def many_heads(salt: str) -> tuple[Head, ...]:
    """As many heads as a cut holds. Nobody has these records."""
    dice = random.Random(salt)
    return tuple(sorted((dice.randbytes(32), 1, dice.randbytes(32)) for _ in range(HEADS_MAX)))


def audit_of(challenger: bytes, epoch: int, slot: int, *, asked: int = 3, salt: str = "") -> Audit:
    """An audit with a receipt of every asked peer. The signatures do not hold, which the fold does not check."""
    peers = [key(f"{salt} asked {number}") for number in range(asked)]
    answered = tuple(AskedPeer(peer, sha256(peer), _receipt(peer), 2**31) for peer in peers)
    return Audit(challenger, epoch, slot, bytes(32), key(f"{salt} question"), epoch + 4, False, answered, bytes(32))


def _receipt(responder: bytes) -> Receipt:
    return Receipt(bytes(32), responder, sha256(responder), 0, bytes(32), 64, 2**31, 2**31, 2**31, bytes(64))


def conflict_of(network: bytes, author: bytes, seq: int) -> bytes:
    """Proof that a log forks at a number: two headers without payloads."""
    sides = [
        Evidence(
            Header(network, author, epoch, seq, b"\x01" * 32 if seq else bytes(32), int(Kind.JOIN), key("body")),
            bytes(64),
            None,
        )
        for epoch in (0, 1)
    ]
    return Conflict(*sorted(sides, key=lambda side: side.id)).encode()
