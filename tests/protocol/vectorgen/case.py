"""Writes a case, and refuses a case whose verdict differs from the implementation's."""

from vectorgen.examples import EPOCH, NETWORK, NETWORK_ID, Peer, record

from p2pverify.core.contract.network import Network, decode_network
from p2pverify.core.encoding import sign
from p2pverify.core.encoding.canon import encode, sha256
from p2pverify.core.errors import DecodeError, GossipIgnore, GossipReject
from p2pverify.core.records.envelope import DOMAIN, Kind, Record
from p2pverify.core.records.judge import judge
from p2pverify.core.records.kind_rule import Rules

Case = dict[str, object]


def judged(
    comment: str,
    data: bytes,
    expect: str = "accept",
    reason: str | None = None,
    *,
    epoch_now: int = EPOCH + 3,
    network: Network = NETWORK,
) -> Case:
    """A case of record judgement. The verdict is written by hand and compared with the implementation's."""
    try:
        judge(data, Rules(network, network.id, epoch_now))
        found: tuple[str, str | None] = ("accept", None)
    except GossipIgnore as refused:
        found = ("ignore", refused.reason)
    except GossipReject as refused:
        found = ("reject", refused.reason)
    assert found == (expect, reason), f"{comment}: {found}"
    inputs = {"record": data.hex(), "epoch_now": epoch_now, "network": network.encode().hex()}
    return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}


def reject(
    comment: str, data: bytes | Record, reason: str, *, epoch_now: int = EPOCH + 3, network: Network = NETWORK
) -> Case:
    found = data if isinstance(data, bytes) else data.data
    return judged(comment, found, "reject", reason, epoch_now=epoch_now, network=network)


def ignore(comment: str, data: bytes | Record, reason: str, *, epoch_now: int = EPOCH + 3) -> Case:
    found = data if isinstance(data, bytes) else data.data
    return judged(comment, found, "ignore", reason, epoch_now=epoch_now)


def said(peer: Peer, kind: Kind, value: object, *, epoch: int = EPOCH + 1, network: bytes = NETWORK_ID) -> Record:
    """A well-signed record with any value as its payload."""
    return record(peer, kind, encode(value), epoch=epoch, network=network)


def defined(comment: str, data: bytes, reason: str | None = None) -> Case:
    """A case of a network definition alone, in the form that a network file gives."""
    found: str | None = None
    network: Network | None = None
    try:
        network = decode_network(data)
    except DecodeError as error:
        found = error.reason
    assert found == reason, f"{comment}: {found}"
    expect = "reject" if network is None else "accept"
    shown = None if network is None else network.id.hex()
    return {"comment": comment, "input": {"definition": data.hex()}, "expect": expect, "reason": reason, "id": shown}


def forged(base: Record) -> bytes:
    """The record with one bit of its signature flipped."""
    signature = bytearray(base.signature)
    signature[0] ^= 1
    return encode([base.header.to_value(), bytes(signature), base.payload])


def enveloped(peer: Peer, payload: bytes, **fields: object) -> bytes:
    """A well-signed envelope with any values as its header fields."""
    header: dict[str, object] = {
        "domain": DOMAIN,
        "network": NETWORK_ID,
        "author": peer.key,
        "epoch": EPOCH,
        "seq": 0,
        "prev": bytes(32),
        "kind": int(Kind.LEAVE),
        "body": sha256(payload),
    }
    values = list({**header, **fields}.values())
    return encode([values, sign.sign(peer.seed, encode(values)), payload])


def changed(value: list[object], at: int, item: object) -> list[object]:
    """The value with one item replaced."""
    return [*value[:at], item, *value[at + 1 :]]
