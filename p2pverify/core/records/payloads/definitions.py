"""The records of the network's definition, and of the manifests that it lists."""

from p2pverify.core.contract.manifest import Manifest, decode_manifest
from p2pverify.core.contract.network import decode_network
from p2pverify.core.encoding.canon import sha256
from p2pverify.core.errors import GossipIgnore, GossipReject
from p2pverify.core.records.envelope import Header, Kind, Record
from p2pverify.core.records.kind_rule import KindRule, Rules


def _as_it_came(_header: Header, payload: bytes) -> bytes:
    return payload


def _check_network(payload: bytes, _record: Record, rules: Rules) -> None:
    # [REJECT] The payload is the definition whose hash is the network id.
    if sha256(payload) != rules.network_id:
        raise GossipReject("not this network's definition")
    decode_network(payload)


def _check_manifest(manifest: Manifest, _record: Record, rules: Rules) -> None:
    # [IGNORE] The network lists the manifest.
    if manifest.digest not in rules.network.manifests:
        raise GossipIgnore("manifest is not in the network file")


#: A definition is decoded only if its hash is right, because hashing costs less.
NETWORK_RULE = KindRule(Kind.NETWORK, _as_it_came, _check_network)
MANIFEST_RULE = KindRule(Kind.MANIFEST, lambda _header, payload: decode_manifest(payload), _check_manifest)
