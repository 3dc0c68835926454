"""The passports that a peer gives to strangers on /p2pverify/passport/1: the request, and several passports of one cut.

A light client has no ledger. It asks a peer for the passports of the best peers among those that it can reach. What
all of them share travels once. Protocol page: protocol/passport.md.
"""

from dataclasses import dataclass

from p2pverify.core.encoding.canon import as_array, as_bytes, as_uint, check_sorted, decode, encode
from p2pverify.core.errors import DecodeError
from p2pverify.core.proofs.passport import Certificate, Passport, read_certificate, read_row_proof
from p2pverify.core.state.view_bytes import ScoreProof

REQUEST_DOMAIN = "p2pverify/passport-request/1"
DOMAIN = "p2pverify/passports/1"
AMONG_MAX = 64
PASSPORTS_MAX = 16
PASSPORT_REQUEST_BYTES_MAX = 4096
PASSPORTS_BYTES_MAX = 262_144
NO_PASSPORTS = encode(None)


@dataclass(frozen=True, slots=True)
class PassportsWanted:
    """The best `count` peers (1 to 16) that run a model; of the peers `among` (sorted keys), or of all if it is empty.

    `manifest` is the digest of the model's manifest. The one with which a line begins stands for all its versions.
    """

    manifest: bytes
    among: tuple[bytes, ...]
    count: int

    def encode(self) -> bytes:
        return encode([REQUEST_DOMAIN, self.manifest, list(self.among), self.count])


@dataclass(frozen=True, slots=True)
class PassportSet:
    """Passports of one cut: what they share, and the proof of each row."""

    certificate: Certificate
    scores: tuple[ScoreProof, ...]

    def encode(self) -> bytes:
        shared = self.certificate
        return encode(
            [
                DOMAIN,
                shared.head.to_value(),
                shared.cut.to_value(),
                list(shared.weighted),
                [each.to_value() for each in shared.signatures],
                [[each.row, each.position, list(each.path)] for each in self.scores],
            ]
        )

    def passports(self) -> list[Passport]:
        """The passports as files have them, in the order of the set."""
        shared = self.certificate
        return [Passport(score, shared.cut, shared.weighted, shared.signatures) for score in self.scores]


def decode_passports_wanted(data: bytes) -> PassportsWanted:
    """Read a request strictly. Raises DecodeError."""
    value = decode(data, size_max=PASSPORT_REQUEST_BYTES_MAX, depth_max=2)
    domain, manifest, among, count = as_array(value, "passport request", length=4)
    if domain != REQUEST_DOMAIN:
        raise DecodeError(f"not a {REQUEST_DOMAIN}")
    keys = tuple(as_bytes(key, "key", size=32) for key in as_array(among, "among", length_max=AMONG_MAX))
    check_sorted(keys, "among")
    number = as_uint(count, "count", PASSPORTS_MAX)
    if number == 0:
        raise DecodeError("count: at least 1")
    return PassportsWanted(as_bytes(manifest, "manifest", size=32), keys, number)


def decode_passports(data: bytes) -> PassportSet | None:
    """Read an answer strictly; None if the peer has none. Raises DecodeError; whether they hold is not checked."""
    if data == NO_PASSPORTS:
        return None
    top = as_array(decode(data, size_max=PASSPORTS_BYTES_MAX, depth_max=4), "passports", length=6)
    if top[0] != DOMAIN:
        raise DecodeError(f"not a {DOMAIN}")
    _, head, cut, weighted, signatures, rows = top
    certificate = read_certificate(head, cut, weighted, signatures)
    found = []
    for item in as_array(rows, "rows", length_max=PASSPORTS_MAX):
        row, position, path = as_array(item, "row", length=3)
        found.append(read_row_proof(certificate.head, row, position, path))
    return PassportSet(certificate, tuple(found))
