"""What a record kind is: how its payload is read and checked, what it claims, and what judging it costs.

Each kind says it beside its payload, as one value; `kinds` is the table of all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from p2pverify.core.contract.network import Network
from p2pverify.core.records.envelope import Header, Kind, Record

#: A VRF proof costs as much as so many signature checks (measured: 0.48 ms against 0.08 ms).
VRF_CHECKS = 6


@dataclass(frozen=True, slots=True)
class Rules:
    """What judgement needs to know: the network, and the current epoch by our clock."""

    network: Network
    network_id: bytes
    epoch_now: int


def _one_signature(_size: int) -> int:
    return 1


def _claims_nothing(_header: Header, _payload: bytes) -> None:
    return None


@dataclass(frozen=True, slots=True)
class KindRule:
    """A record kind.

    `decode(header, payload)` reads a payload strictly, or raises DecodeError. `check(payload, record, rules)` is given
    what `decode` returned, and raises GossipReject or GossipIgnore.

    `claim(header, payload)` is what an author may say only once, with what it said: two records of one author with the
    same first part and different second parts are an equivocation. It is None where a kind has no such claim.

    `checks(size)` estimates what a judgement costs in signature checks, from the size of the whole record in bytes:
    admission charges this before anything is decoded.
    """

    kind: Kind
    decode: Callable[[Header, bytes], Any]
    check: Callable[[Any, Record, Rules], None]
    claim: Callable[[Header, bytes], tuple[object, bytes] | None] = _claims_nothing
    checks: Callable[[int], int] = _one_signature
