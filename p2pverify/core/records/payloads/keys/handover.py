"""The handover: a new key takes over the standing of an old one; and the word of the old key against it.

A join commits to the hash of the next key. So the holder of a stolen key cannot name its own key as the next one.
"""

from dataclasses import dataclass

from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import Value, as_array, as_bytes, as_uint, encode, sha256
from p2pverify.core.errors import DecodeError, GossipReject
from p2pverify.core.records.envelope import SEQ_MAX, Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules

CONSENT = "p2pverify/handover/1"
NEXT = b"p2pverify/next/1"


def next_digest(key: bytes) -> bytes:
    """The digest by which a join or handover commits to the next key (32 B): SHA-256 of the domain and the key."""
    return sha256(NEXT + key)


@dataclass(frozen=True, slots=True)
class Keys:
    """What a peer takes part with beside its identity key: the digest of the next key, the VRF key and the box key.

    `next_key` is None if there is no next key: then no handover is possible. `box_key` is None without boxes.
    """

    next_key: bytes | None
    vrf_key: bytes
    box_key: bytes | None


@dataclass(frozen=True, slots=True)
class Handover:
    """The author takes over the row of the key `old`, whose log ends for it with the record `head` (number and id).

    `consent` is the signature of the old key, or None if nobody has it or uses it.
    """

    old: bytes
    head: tuple[int, bytes]
    keys: Keys
    consent: bytes | None = None

    def encode(self) -> bytes:
        keys = self.keys
        return encode([self.old, list(self.head), keys.next_key, keys.vrf_key, keys.box_key, self.consent])


def consent_bytes(network_id: bytes, old: bytes, new: bytes, keys: Keys) -> bytes:
    """What an old key signs to say that a new key takes over from it."""
    return encode([CONSENT, network_id, old, new, keys.next_key, keys.vrf_key, keys.box_key])


def sign_consent(seed: bytes, network_id: bytes, new: bytes, keys: Keys) -> bytes:
    """The signature (64 B) of the old key with this identity seed."""
    return sign.sign(seed, consent_bytes(network_id, sign.public_key(seed), new, keys))


def maybe_digest(value: Value) -> bytes | None:
    """Read the digest of a next key, or None. Raises DecodeError."""
    return None if value is None else as_bytes(value, "next key", size=32)


def decode_handover(payload: bytes) -> Handover:
    old, head, next_key, vrf_key, box_key, consent = read_fields(payload, "handover", 6)
    seq, head_id = as_array(head, "head", length=2)
    keys = Keys(
        maybe_digest(next_key),
        as_bytes(vrf_key, "VRF key", size=32),
        None if box_key is None else as_bytes(box_key, "box key", size=32),
    )
    if not sign.is_valid_key(keys.vrf_key):
        raise DecodeError("the VRF key is not a valid point")
    return Handover(
        as_bytes(old, "old key", size=32),
        (as_uint(seq, "seq", SEQ_MAX), as_bytes(head_id, "head", size=32)),
        keys,
        None if consent is None else as_bytes(consent, "consent", size=64),
    )


def _check_handover(handover: Handover, record: Record, rules: Rules) -> None:
    # [REJECT] The author takes over another key than its own.
    if handover.old == record.author:
        raise GossipReject("a key cannot take over from itself")
    # [REJECT] The old key's signature, if there is one, holds.
    if handover.consent is not None:
        said = consent_bytes(rules.network_id, handover.old, record.author, handover.keys)
        if not sign.verify(handover.old, said, handover.consent):
            raise GossipReject("the old key's signature does not hold")


@dataclass(frozen=True, slots=True)
class HandoverObject:
    """The author objects to the handover of its row to the key `successor`."""

    successor: bytes

    def encode(self) -> bytes:
        return encode([self.successor])


def decode_object(payload: bytes) -> HandoverObject:
    (successor,) = read_fields(payload, "object", 1)
    return HandoverObject(as_bytes(successor, "successor", size=32))


def _check_object(said: HandoverObject, record: Record, _rules: Rules) -> None:
    # [REJECT] The author objects to another key than its own.
    if said.successor == record.author:
        raise GossipReject("a key cannot object to itself")


#: A handover costs a check of its VRF key's point, and of the old key's signature.
HANDOVER_RULE = KindRule(
    Kind.HANDOVER, lambda _header, payload: decode_handover(payload), _check_handover, checks=lambda _size: 3
)
OBJECT_RULE = KindRule(Kind.OBJECT, lambda _header, payload: decode_object(payload), _check_object)
