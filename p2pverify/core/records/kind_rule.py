"""The rule of a record kind: how its payload is read and checked, what it claims, and what judging it costs.

Each kind's module defines its rule as one value; `kinds` is the table of all rules.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from p2pverify.core.contract.network import Network
from p2pverify.core.records.envelope import Header, Kind, Record

#: The cost of a VRF proof in signature checks (measured: 0.48 ms against 0.08 ms).
VRF_CHECKS = 6


@dataclass(frozen=True, slots=True)
class Rules:
    """The context of a judgement: the network, and the current epoch by our clock."""

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

    `decode(header, payload)` reads a payload strictly, or raises DecodeError. `check(payload, record, rules)` gets
    the result of `decode`, and raises GossipReject or GossipIgnore.

    `claim(header, payload)` returns a subject on which an author may speak only once, and what it said. Two records of
    one author with the same subject and different second parts are an equivocation. None: the kind has no such claim.

    `checks(size)` estimates the cost of a judgement in signature checks, from the size of the whole record in bytes.
    Admission charges this before anything is decoded.
    """

    kind: Kind
    decode: Callable[[Header, bytes], Any]
    check: Callable[[Any, Record, Rules], None]
    claim: Callable[[Header, bytes], tuple[object, bytes] | None] = _claims_nothing
    checks: Callable[[int], int] = _one_signature
