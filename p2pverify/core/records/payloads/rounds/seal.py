"""The seal of an update: its author has trained, and is bound to what came out before anybody shows anything.

Protocol page: protocol/update-seal.md.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import as_bytes, digest, encode
from p2pverify.core.records.envelope import Header, Kind, Record, read_fields
from p2pverify.core.records.kind_rule import KindRule, Rules
from p2pverify.core.records.payloads.rounds.place import RoundPlace, check_line, read_place

UPDATE_SEAL_DOMAIN = "p2pverify/update-seal/1"
TRAINED_ROWS_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class UpdateSeal:
    """A sealed update to the version with the manifest `base` (digest, 32 B), trained on the data set `dataset`.

    `dataset` is the id of its record. `certificate` is a certified cut in which the round is open.
    """

    place: RoundPlace
    base: bytes
    dataset: bytes
    certificate: bytes
    commit: bytes

    def encode(self) -> bytes:
        return encode([*self.place.to_value(), self.base, self.dataset, self.certificate, self.commit])


@dataclass(frozen=True, slots=True)
class Trained:
    """What an update seal hides: digests (32 B) of the update and of its steps, and the number of rows trained on.

    `steps` is the Merkle root over the leaves of all steps in mode 0, and None in the other modes.
    """

    update: bytes
    steps: bytes | None
    rows: int


def update_seal(
    network: bytes, author: bytes, place: RoundPlace, base: bytes, dataset: bytes, trained: Trained, salt: bytes
) -> bytes:
    """The commitment (32 B) of an update. It contains the author's key, so that nobody else can use it."""
    said = [base, dataset, trained.update, trained.steps, trained.rows]
    return digest([UPDATE_SEAL_DOMAIN, network, author, *place.to_value(), *said, salt])


def decode_update_seal(payload: bytes) -> UpdateSeal:
    """Read the payload of an update seal. Raises DecodeError."""
    line, number, base, dataset, certificate, commit = read_fields(payload, "update-seal", 6)
    return UpdateSeal(
        read_place(line, number),
        as_bytes(base, "base", size=32),
        as_bytes(dataset, "dataset", size=32),
        as_bytes(certificate, "certificate", size=32),
        as_bytes(commit, "commit", size=32),
    )


def _claim(header: Header, payload: bytes) -> tuple[object, bytes]:
    """An author seals once in a round. A repeat may cite a later certificate."""
    seal = decode_update_seal(payload)
    return (header.kind, seal.place), digest([seal.base, seal.dataset, seal.commit])


def _check(seal: UpdateSeal, _record: Record, rules: Rules) -> None:
    # [REJECT] The definition has the line, and it has a training rule.
    check_line(seal.place, rules)


UPDATE_SEAL_RULE = KindRule(
    Kind.UPDATE_SEAL, lambda _header, payload: decode_update_seal(payload), _check, claim=_claim
)
