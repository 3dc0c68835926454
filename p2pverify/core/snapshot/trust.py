"""Which cut a newcomer believes: one that it was given, or that most first peers hold, and from there newer ones.

From a trusted cut a newcomer goes to a newer one as light clients skip: the newer cut counts if two thirds of the
weight of its own view signed it, and more than a third of the members that had weight at the trusted cut. One of these
is honest, and an honest member signs only cuts whose weights follow by the rules. Page: protocol/state-sync.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from p2pverify.core.contract.network import Network, Params
from p2pverify.core.errors import DecodeError
from p2pverify.core.proofs.exchange import decode_passports
from p2pverify.core.proofs.passport import Certificate, Refuted, check_certificate, check_weights
from p2pverify.core.snapshot.messages import NewestStates

#: Address groups of first peers that must hold a cut which nobody vouched for.
GROUPS_MIN = 3
#: A checkpoint may be so many times younger than the growth of the weight, at least.
AGE_SHARE = 4
#: The least age at which a checkpoint counts as old, in epochs.
OLD_EPOCHS_MIN = 128


@dataclass(frozen=True, slots=True)
class TrustedCut:
    """A cut that is believed, and the keys with weight in its view."""

    cut: bytes
    index: int
    epoch: int
    weighted: frozenset[bytes]


@dataclass(frozen=True, slots=True)
class ToldStates:
    """What a first peer says of its path, and the group of its address ("" for one that counts for nothing)."""

    group: str
    newest: NewestStates


def decode_certificate(data: bytes) -> Certificate:
    """Read a certificate: passports of one cut without any row. Raises DecodeError."""
    found = decode_passports(data)
    if found is None or found.scores:
        raise DecodeError("not a certificate")
    return found.certificate


def given(network: Network, cut: bytes, certificate: Certificate) -> TrustedCut:
    """A cut that is trusted by its id. Its signatures are not asked for. Raises Refuted."""
    if check_weights(network, certificate) != cut:
        raise Refuted("it is of another cut than the trusted one")
    return _trusted(cut, certificate)


def follows(network: Network, older: TrustedCut, certificate: Certificate) -> TrustedCut:
    """A newer cut that counts because an older one is trusted. Raises Refuted."""
    cut = check_certificate(network, certificate)
    if certificate.head.index <= older.index:
        raise Refuted("it is no newer cut than the trusted one")
    signed = len(older.weighted & certificate.signers)
    if 3 * signed <= len(older.weighted):
        raise Refuted(f"{signed} of the {len(older.weighted)} peers with weight at the trusted cut signed: too few")
    return _trusted(cut, certificate)


def _trusted(cut: bytes, certificate: Certificate) -> TrustedCut:
    head = certificate.head
    return TrustedCut(cut, head.index, head.epoch, frozenset(certificate.weighted))


def old_after(params: Params) -> int:
    """The age in epochs from which on a checkpoint is refused, because keys that have left may sign another past."""
    return max(OLD_EPOCHS_MIN, params.growth_epochs // AGE_SHARE)


def agreed(told: Sequence[ToldStates]) -> bytes | None:
    """The newest served cut that two thirds of the first peers hold on their path, in GROUPS_MIN address groups.

    None if there is none. A group counts once, however many peers it has.
    """
    groups = _by_group(told)
    if len(groups) < GROUPS_MIN:
        return None
    served = {(each.index, each.cut) for one in told for each in one.newest.served}
    for _, cut in sorted(served, reverse=True):
        holding = sum(cut in paths for paths in groups.values())
        if holding >= GROUPS_MIN and 3 * holding >= 2 * len(groups):
            return cut
    return None


def _by_group(told: Sequence[ToldStates]) -> Mapping[str, frozenset[bytes]]:
    """The cuts on which all peers of a group agree, by group."""
    found: dict[str, frozenset[bytes]] = {}
    for one in told:
        if one.group:
            cuts = frozenset(one.newest.on_path())
            found[one.group] = found[one.group] & cuts if one.group in found else cuts
    return found


def differing(one: NewestStates, other: NewestStates) -> tuple[bytes, bytes] | None:
    """Two cuts of one index that two peers hold on their paths; None if they agree as far as they can be compared."""
    theirs = {index: cut for cut, index in other.on_path().items()}
    for cut, index in one.on_path().items():
        if theirs.get(index, cut) != cut:
            return cut, theirs[index]
    return None
