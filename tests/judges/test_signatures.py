"""Model Signing and provenance: model-signing and securesystemslib accept ours, and refuse a changed byte."""

import json
import socket
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import hashing, signing, verifying
from securesystemslib import dsse, signer

from p2pverify.core.encoding.peerid import peer_id
from p2pverify.core.encoding.sign import public_key
from p2pverify.interop import oms, slsa
from p2pverify.interop.foreign import ForeignError, folder_files, sha256_of
from tests.support.versions import FACTS, SEED, write_folder

CURVES = [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()]


class Keys:
    """A key pair in two PEM files."""

    def __init__(self, folder: Path, curve: ec.EllipticCurve) -> None:
        key = ec.generate_private_key(curve)
        encoding, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        self.private, self.public = folder / "key.pem", folder / "key.pub"
        self.private.write_bytes(key.private_bytes(encoding, pkcs8, serialization.NoEncryption()))
        kind = serialization.PublicFormat.SubjectPublicKeyInfo
        self.public.write_bytes(key.public_key().public_bytes(encoding, kind))


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this needs a service."""

    def refused(*_args: object, **_named: object) -> None:
        raise AssertionError("a connection was tried")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refused)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model")


@pytest.fixture(params=CURVES, ids=lambda curve: curve.name)
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Keys:
    return Keys(tmp_path, request.param)


def _ours(folder: Path, keys: Keys) -> bytes:
    files = [oms.SignedFile(name, sha256_of(folder / name)) for name in folder_files(folder)]
    return oms.write_bundle(folder.name, files, keys.private.read_bytes())


def _their_verdict(folder: Path, bundle: Path, keys: Keys) -> None:
    verifying.Config().use_elliptic_key_verifier(public_key=keys.public).verify(folder, bundle)


def test_they_accept_our_bundle_and_refuse_a_changed_byte(folder: Path, keys: Keys, tmp_path: Path) -> None:
    """A byte of a file, a byte of the statement, and another file beside the signed ones."""
    bundle = tmp_path / "model.sig"
    bundle.write_bytes(_ours(folder, keys))
    _their_verdict(folder, bundle, keys)
    (folder / "tiny.gguf").write_bytes(b"other")
    with pytest.raises(ValueError, match="mismatch"):
        _their_verdict(folder, bundle, keys)
    write_folder(folder)
    (folder / "extra.txt").write_text("more")
    with pytest.raises(ValueError, match="Extra files"):
        _their_verdict(folder, bundle, keys)
    (folder / "extra.txt").unlink()
    document = json.loads(bundle.read_bytes())
    payload = document["dsseEnvelope"]["payload"]
    document["dsseEnvelope"]["payload"] = payload.replace(payload[100], "A" if payload[100] != "A" else "B", 1)
    bundle.write_text(json.dumps(document))
    with pytest.raises(InvalidSignature):
        _their_verdict(folder, bundle, keys)


def test_we_accept_their_bundle_and_refuse_a_changed_byte(folder: Path, keys: Keys, tmp_path: Path) -> None:
    written = folder / "model.sig"
    signing.Config().use_elliptic_key_signer(private_key=keys.private).set_hashing_config(
        hashing.Config().set_ignored_paths(paths=[written], ignore_git_paths=True)
    ).sign(folder, written)
    bundle = oms.read_bundle(written.read_bytes())
    oms.check_signature(bundle, keys.public.read_bytes())
    assert oms.check_folder(bundle, folder).holds
    (folder / "a-b.txt").write_bytes(b"onf\n")
    found = oms.check_folder(bundle, folder)
    assert (found.holds, found.changed) == (False, ("a-b.txt",))
    (tmp_path / "other").mkdir()
    other = Keys(tmp_path / "other", ec.SECP256R1())
    with pytest.raises(ForeignError, match="another key"):
        oms.check_signature(bundle, other.public.read_bytes())


def test_their_other_hashes_are_refused_with_a_reason(folder: Path, tmp_path: Path) -> None:
    keys = Keys(tmp_path, ec.SECP256R1())
    written = tmp_path / "model.sig"
    signing.Config().use_elliptic_key_signer(private_key=keys.private).set_hashing_config(
        hashing.Config().use_file_serialization(hashing_algorithm="blake3")
    ).sign(folder, written)
    with pytest.raises(ForeignError, match="files by blake3"):
        oms.read_bundle(written.read_bytes())


def test_they_accept_our_provenance_and_refuse_a_changed_byte() -> None:
    """And so do we."""
    data = slsa.write_provenance(FACTS, SEED)
    key = public_key(SEED)
    theirs = signer.SSlibKey(peer_id(key), "ed25519", "ed25519", {"public": key.hex()})
    assert dsse.Envelope.from_dict(json.loads(data)).verify([theirs], 1)
    assert slsa.read_provenance(data)[0] == [key]
    document = json.loads(data)
    payload = document["payload"]
    document["payload"] = payload[:-8] + ("A" if payload[-8] != "A" else "B") + payload[-7:]
    with pytest.raises(Exception, match="threshold"):
        dsse.Envelope.from_dict(document).verify([theirs], 1)
    with pytest.raises(ForeignError):
        slsa.read_provenance(json.dumps(document).encode())
