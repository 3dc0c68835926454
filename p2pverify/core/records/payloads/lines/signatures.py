"""Signatures of publishers under a statement. Any peer can carry a statement that they signed.

So a publisher's key need not be a peer's, and need not lie on a machine that is online.
"""

from collections.abc import Sequence

from p2pverify.core.contract.history.lines import PUBLISHERS_MAX
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, check_sorted
from p2pverify.core.errors import GossipReject
from p2pverify.core.records.kind_rule import Rules

#: Pairs of a publisher's key (32 B) and its signature (64 B), sorted by key.
Signatures = tuple[tuple[bytes, bytes], ...]
#: What judging a signed statement costs at most, in signature checks: those of the publishers, and the author's.
SIGNED_CHECKS = PUBLISHERS_MAX + 1


def signatures_value(signatures: Signatures) -> list[object]:
    return [list(pair) for pair in signatures]


def read_signatures(value: Value) -> Signatures:
    """Read signatures, which may be none. Raises DecodeError."""
    pairs = [as_array(item, "signature", length=2) for item in as_array(value, "signatures", length_max=PUBLISHERS_MAX)]
    found = tuple((as_bytes(key, "key", size=32), as_bytes(signed, "signature", size=64)) for key, signed in pairs)
    check_sorted([key for key, _ in found], "signatures")
    return found


def sign_statement(statement: bytes, seeds: Sequence[bytes]) -> Signatures:
    """The signatures of the keys with these seeds (32 B each)."""
    return tuple(sorted((sign.public_key(seed), sign.sign(seed, statement)) for seed in seeds))


def check_statement(line: int, statement: bytes, signatures: Signatures, rules: Rules) -> None:
    """The checks that all statements about a line share."""
    # [REJECT] The line is one of the network's.
    if line >= len(rules.network.lines):
        raise GossipReject("no such line")
    # [REJECT] Each key signed the statement.
    if not all(sign.verify(key, statement, signed) for key, signed in signatures):
        raise GossipReject("a publisher's signature does not hold")
