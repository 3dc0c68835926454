"""The sponsor record: a member with weight stands for a newcomer, so that it can be admitted sooner."""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import as_bytes, encode
from p2pverify.core.errors import GossipReject
from p2pverify.core.records.envelope import Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules


@dataclass(frozen=True, slots=True)
class Sponsor:
    """The author stands for the peer with this key, and its own weight is at stake."""

    peer: bytes

    def encode(self) -> bytes:
        return encode([self.peer])


def decode_sponsor(payload: bytes) -> Sponsor:
    (peer,) = read_fields(payload, "sponsor", 1)
    return Sponsor(as_bytes(peer, "peer", size=32))


def _check_sponsor(sponsor: Sponsor, record: Record, _rules: Rules) -> None:
    # [REJECT] The author stands for another peer than itself.
    if sponsor.peer == record.author:
        raise GossipReject("a peer cannot stand for itself")


SPONSOR_RULE = KindRule(Kind.SPONSOR, lambda _header, payload: decode_sponsor(payload), _check_sponsor)
