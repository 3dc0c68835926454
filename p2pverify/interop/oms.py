"""OpenSSF Model Signing: signatures over the files of a model, by an elliptic-curve key, without any service.

A bundle is a Sigstore bundle 0.3 around a DSSE envelope. Its statement lists the files with their SHA-256. The
reference implementation, `model-signing`, accepts these bundles and writes such ones: `tests/judges` shows it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from p2pverify.interop.dsse import STATEMENT_TYPE, Envelope, read_envelope, read_statement, seal
from p2pverify.interop.foreign import (
    FILES_MAX,
    ForeignError,
    Json,
    MismatchError,
    folder_files,
    member,
    parse_json,
    plain_path,
    sha256_of,
    texts,
)

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PREDICATE = "https://model_signing/signature/v1.0"
BUNDLE_BYTES_MAX = 4 << 20
KEY_BYTES_MAX = 16_384
#: The names that the reference implementation leaves out of every signature.
UNSIGNED = (".git", ".gitattributes", ".github", ".gitignore")
_KEY_HINT = "make one with 'openssl ecparam -name prime256v1 -genkey -noout -out key.pem'"


@dataclass(frozen=True, slots=True)
class SignedFile:
    """A file in a bundle: its relative path, and its SHA-256 (32 B)."""

    path: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Bundle:
    """A read bundle: the model's name, its files in the order of the bundle, and what it leaves out."""

    envelope: Envelope
    hint: str
    model: str
    files: tuple[SignedFile, ...]
    ignored: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FolderFindings:
    """How a folder differs from a bundle: paths of changed files, of missing ones, and of files that nobody signed.

    `left_out` are files that the signer excluded, so that nothing is known of them.
    """

    changed: tuple[str, ...]
    missing: tuple[str, ...]
    unsigned: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not (self.changed or self.missing or self.unsigned)


def write_bundle(model: str, files: Sequence[SignedFile], key_pem: bytes, ignored: Sequence[str] = ()) -> bytes:
    """The JSON of a bundle over these files. `key_pem` is a private key on P-256, P-384 or P-521.

    `ignored` are further relative paths that the signature leaves out. Raises ForeignError.
    """
    key = _private_key(key_pem)
    ordered = sorted(files, key=lambda file: PurePosixPath(file.path))
    if not ordered:
        raise ForeignError("there is no file to sign", "name the folder of a model")
    statement: Json = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": model, "digest": {"sha256": _root(ordered)}}],
        "predicateType": PREDICATE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": list[Json](sorted({*UNSIGNED, *ignored})),
            },
            "resources": [{"name": one.path, "algorithm": "sha256", "digest": one.sha256.hex()} for one in ordered],
        },
    }
    public = key.public_key()
    envelope = seal(statement, [("", lambda data: key.sign(data, ec.ECDSA(_hash_of(public))))])
    bundle: Json = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": _hint(public)}, "tlogEntries": []},
        "dsseEnvelope": envelope.to_json(),
    }
    return json.dumps(bundle, separators=(",", ":")).encode()


def read_bundle(data: bytes) -> Bundle:
    """Read a bundle. Its signature and its files are not checked yet. Raises ForeignError."""
    value = parse_json(data, size_max=BUNDLE_BYTES_MAX)
    if member(value, "mediaType") != MEDIA_TYPE:
        raise ForeignError("not a Sigstore bundle of version 0.3", "name the signature file of OpenSSF Model Signing")
    envelope = read_envelope(member(value, "dsseEnvelope"))
    subjects, predicate = read_statement(envelope.payload, PREDICATE)
    name, digest = member(subjects[0], "name"), member(subjects[0], "digest", "sha256")
    method, hash_type = (member(predicate, "serialization", key) for key in ("method", "hash_type"))
    if (method, hash_type) != ("files", "sha256"):
        raise ForeignError(f"a bundle over {method} by {hash_type}: only whole files by SHA-256 can be checked")
    resources = member(predicate, "resources")
    if not isinstance(resources, list) or not 0 < len(resources) <= FILES_MAX:
        raise ForeignError(f"a bundle over no file, or over more than {FILES_MAX}")
    files = tuple(_file(item) for item in resources)
    if len({file.path for file in files}) != len(files):
        raise ForeignError("a bundle has a file twice")
    if len(subjects) != 1 or not isinstance(name, str) or digest != _root(files):
        raise ForeignError("a bundle whose subject is not the digest of its files")
    hint = member(value, "verificationMaterial", "publicKey", "hint")
    ignored = texts(member(predicate, "serialization", "ignore_paths"))
    return Bundle(envelope, hint if isinstance(hint, str) else "", name, files, tuple(map(plain_path, ignored)))


def check_signature(bundle: Bundle, public_pem: bytes) -> None:
    """Raise MismatchError unless the bundle is signed with the private key of this public key (PEM).

    Raises ForeignError for a key of another kind.
    """
    key = _public_key(public_pem)
    if bundle.hint and bundle.hint != _hint(key):
        raise MismatchError("the bundle names another key", "get the signer's key from the signer")
    try:
        key.verify(bundle.envelope.signatures[0][1], bundle.envelope.signed, ec.ECDSA(_hash_of(key)))
    except InvalidSignature:
        raise MismatchError("the signature of the bundle does not hold", "get the files and the bundle again") from None


def check_folder(bundle: Bundle, folder: Path, besides: Sequence[str] = ()) -> FolderFindings:
    """Compare a folder with a bundle. `besides` are relative paths that count as left out, such as the bundle's own.

    Raises ForeignError if the folder cannot be read.
    """
    left_out = (*bundle.ignored, *UNSIGNED, *besides)
    names = folder_files(folder)
    signed = {file.path: file.sha256 for file in bundle.files}
    there = signed.keys() & set(names)
    return FolderFindings(
        changed=tuple(sorted(path for path in there if sha256_of(folder / path) != signed[path])),
        missing=tuple(sorted(signed.keys() - there)),
        unsigned=tuple(path for path in names if path not in signed and not is_below(path, left_out)),
        left_out=tuple(path for path in names if path not in signed and is_below(path, left_out)),
    )


def is_below(path: str, places: Sequence[str]) -> bool:
    """Whether a path is one of the places, or lies in one of them."""
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _file(item: Json) -> SignedFile:
    name, digest = member(item, "name"), member(item, "digest")
    if not isinstance(name, str) or not isinstance(digest, str) or member(item, "algorithm") != "sha256":
        raise ForeignError("a bundle names a file without its SHA-256")
    if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
        raise ForeignError(f"the SHA-256 of {name[:80]!r} in the bundle is not 64 hex digits in lower case")
    return SignedFile(plain_path(name), bytes.fromhex(digest))


def _root(files: Sequence[SignedFile]) -> str:
    return hashlib.sha256(b"".join(file.sha256 for file in files)).hexdigest()


def _hint(key: ec.EllipticCurvePublicKey) -> str:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(serialization.Encoding.PEM, kind)).hexdigest()


def _private_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ForeignError("the key is not an unencrypted private key in PEM", _KEY_HINT) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ForeignError("Model Signing takes elliptic-curve keys only, and no Ed25519", _KEY_HINT)
    _hash_of(key.public_key())
    return key


def _public_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise ForeignError("the key is not a public key in PEM", "get the signer's public key") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ForeignError("Model Signing takes elliptic-curve keys only", "get the signer's key from the signer")
    _hash_of(key)
    return key


def _hash_of(key: ec.EllipticCurvePublicKey) -> hashes.HashAlgorithm:
    found = {"secp256r1": hashes.SHA256(), "secp384r1": hashes.SHA384(), "secp521r1": hashes.SHA512()}
    if key.curve.name not in found:
        raise ForeignError(f"Model Signing takes no keys on {key.curve.name}", _KEY_HINT)
    return found[key.curve.name]
