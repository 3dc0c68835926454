"""Files of strangers: what is read, what is refused with a reason, and what a draft says is not verified."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from p2pverify.interop import drafts, dsse, modelcard, oms, slsa
from p2pverify.interop.drafts import GgufFacts
from p2pverify.interop.foreign import DEPTH_MAX, ForeignError, MismatchError, folder_files, parse_json, sha256_of
from tests.support.versions import CONTENTS, FACTS, PRIVATE, PUBLIC, SEED, write_folder

GGUF = GgufFacts("tiny", "", "Q5_0", FACTS.manifest.weights, bytes(32), bytes([1]) * 32)
_PEM, _PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8


def signed(folder: Path, ignored: tuple[str, ...] = ()) -> bytes:
    files = [oms.SignedFile(name, sha256_of(folder / name)) for name in folder_files(folder)]
    return oms.write_bundle("model", [one for one in files if one.path not in ignored], PRIVATE, ignored)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "model")


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": 1, "a": 2}', "a name twice"),
        (b'{"a": NaN}', "not a JSON number"),
        (b"[Infinity]", "not a JSON number"),
        (b"[" * 100_000, "too deep|levels"),
        (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "levels"),
        (b"\xff", "UTF-8"),
        (b"{} x", "not JSON"),
        (b" " * 101, "more than 100 bytes"),
    ],
)
def test_bad_json_is_refused(data: bytes, reason: str) -> None:
    size_max = 100 if data.startswith(b" ") else 1 << 20
    with pytest.raises(ForeignError, match=reason):
        parse_json(data, size_max=size_max)


# ---------------------------------------------------------------- model cards


def test_a_card_is_read_as_texts() -> None:
    """No word of YAML becomes a number, a date or a truth value."""
    text = "---\nlicense: no\nversion: 1_000\ndate: 2026-01-01\ntags: [a, 0x1F]\nx: {y: ~}\n---\n# Title\n"
    card = modelcard.read_card(text.encode())
    assert card.metadata == {
        "license": "no",
        "version": "1_000",
        "date": "2026-01-01",
        "tags": ["a", "0x1F"],
        "x": {"y": "~"},
    }
    assert (card.text, card.first("tags"), card.first("x")) == ("# Title\n", "a", "")
    assert modelcard.read_card(b"# No metadata\n").metadata == {}
    assert modelcard.read_card(b"---\n---\nx").metadata == {}


@pytest.mark.parametrize(
    ("front", "reason"),
    [
        ("a: &x [1]\nb: *x", "anchor"),
        ("a: !!python/object:os.system x", "tag"),
        ("a: !!int 1", "tag"),
        ("a: 1\na: 2", "twice"),
        ("<<: {a: 1}", "merge key"),
        ("? [a]\n: 1", "no text"),
        ("- a", "no mapping"),
        ("just text", "no mapping"),
        ("a: [", "no YAML"),
        ("a: " + "[" * 100 + "]" * 100, "too deep"),
        ("\n".join(f"k{n}: v" for n in range(5000)), "too long"),
        ("a: " + "x" * 70_000, "more than"),
        ("a: b\n--- \n", "document|no YAML"),
    ],
)
def test_tricks_of_yaml_are_refused(front: str, reason: str) -> None:
    if "document" in reason:  # a second document would begin with the fence itself
        assert modelcard.read_card(f"---\n{front}\n---\n".encode()).metadata == {"a": "b"}
        return
    with pytest.raises(ForeignError, match=reason):
        modelcard.read_card(f"---\n{front}\n---\n".encode())


# ---------------------------------------------------------------- Model Signing


def test_a_bundle_is_read_back(folder: Path) -> None:
    bundle = oms.read_bundle(signed(folder))
    oms.check_signature(bundle, PUBLIC)
    assert [file.path for file in bundle.files] == ["README.md", "a/b.txt", "a-b.txt", "tiny.gguf"]
    assert oms.check_folder(bundle, folder) == oms.FolderFindings((), (), (), ())


def test_a_folder_is_compared(folder: Path) -> None:
    bundle = oms.read_bundle(signed(folder))
    (folder / "tiny.gguf").write_bytes(b"x")
    (folder / "README.md").unlink()
    (folder / "more.txt").write_text("x")
    (folder / ".gitattributes").write_text("x")
    found = oms.check_folder(bundle, folder)
    assert (found.changed, found.missing, found.unsigned) == (("tiny.gguf",), ("README.md",), ("more.txt",))
    assert (found.left_out, found.holds) == ((".gitattributes",), False)


def test_links_are_refused(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/hostname")
    with pytest.raises(ForeignError, match="link"):
        folder_files(folder)
    (folder / "link").unlink()
    (folder / "up").symlink_to("..", target_is_directory=True)
    with pytest.raises(ForeignError, match="link"):
        folder_files(folder)


def _statement(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """A change of the signed statement."""

    def changed(bundle: dict[str, Any]) -> None:
        envelope = bundle["dsseEnvelope"]
        statement = json.loads(base64.b64decode(envelope["payload"]))
        change(statement)
        envelope["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()

    return changed


def _resources(statement: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = statement["predicate"]["resources"]
    return found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda b: b.update(mediaType="x"), "not a Sigstore bundle"),
        (lambda b: b["dsseEnvelope"].update(payloadType="text/plain"), "payload is not"),
        (lambda b: b["dsseEnvelope"].update(signatures=[]), "without signatures"),
        (lambda b: b["dsseEnvelope"].update(signatures=[{"sig": "AA=="}] * 17), "more than 16"),
        (lambda b: b["dsseEnvelope"].update(signatures=[{"sig": 5}]), "lacks its payload"),
        (lambda b: b["dsseEnvelope"].update(signatures=[{"sig": "%"}]), "base64"),
        (lambda b: b["dsseEnvelope"].update(signatures=[{"sig": "A" * 4000}]), "more than 1024"),
        (lambda b: b["dsseEnvelope"].update(payload="bm8="), "not JSON"),
        (_statement(lambda s: s.update(_type="x")), "in-toto"),
        (_statement(lambda s: s.update(predicateType="https://slsa.dev/provenance/v1")), "predicate"),
        (_statement(lambda s: s.update(subject=[])), "without subjects"),
        (_statement(lambda s: s["subject"].append(s["subject"][0])), "subject is not"),
        (_statement(lambda s: s["predicate"]["serialization"].update(hash_type="blake3")), "blake3"),
        (_statement(lambda s: s["predicate"]["serialization"].update(method="shards")), "shards"),
        (_statement(lambda s: s["predicate"].update(resources=[])), "no file"),
        (_statement(lambda s: _resources(s)[0].update(name="../x")), "no relative path"),
        (_statement(lambda s: _resources(s)[0].update(name="/etc/passwd")), "no relative path"),
        (_statement(lambda s: _resources(s)[0].update(digest="AB" * 32)), "lower case"),
        (_statement(lambda s: _resources(s)[0].update(algorithm="md5")), "without its SHA-256"),
        (_statement(lambda s: _resources(s)[0].update(digest="ab" * 32)), "subject is not"),
        (_statement(lambda s: _resources(s).append(_resources(s)[0])), "twice"),
        (_statement(lambda s: s["predicate"]["serialization"].update(ignore_paths=["../.."])), "no relative path"),
    ],
)
def test_other_bundles_are_refused(folder: Path, change: Callable[[dict[str, Any]], None], reason: str) -> None:
    bundle = json.loads(signed(folder))
    change(bundle)
    with pytest.raises(ForeignError, match=reason):
        oms.read_bundle(json.dumps(bundle).encode())


def test_false_signatures_are_refused(folder: Path) -> None:
    """Another model's name in the signed statement, another key, and keys of other kinds."""
    data = json.loads(signed(folder))
    _statement(lambda s: s["subject"][0].update(name="other"))(data)
    bundle = oms.read_bundle(json.dumps(data).encode())
    with pytest.raises(MismatchError, match="does not hold"):
        oms.check_signature(bundle, PUBLIC)
    edwards = ed25519.Ed25519PrivateKey.generate()
    pem = edwards.private_bytes(_PEM, _PKCS8, serialization.NoEncryption())
    public = edwards.public_key().public_bytes(_PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    files = [oms.SignedFile("x", bytes(32))]
    for key, reason in ((pem, "no Ed25519"), (b"x", "not an unencrypted"), (PUBLIC, "not an unencrypted")):
        with pytest.raises(ForeignError, match=reason):
            oms.write_bundle("model", files, key)
    for key, reason in ((public, "elliptic-curve"), (b"x", "not a public key"), (PRIVATE, "not a public key")):
        with pytest.raises(ForeignError, match=reason):
            oms.check_signature(bundle, key)
    koblitz = ec.derive_private_key(5, ec.SECP256K1()).private_bytes(_PEM, _PKCS8, serialization.NoEncryption())
    with pytest.raises(ForeignError, match="secp256k1"):
        oms.write_bundle("model", files, koblitz)


def test_a_provenance_of_nobody_is_refused() -> None:
    envelope = dsse.read_envelope(parse_json(slsa.write_provenance(FACTS, SEED)))
    (keyid, signature) = envelope.signatures[0]
    for other in (("nobody", signature), (keyid, bytes(64)), ("", signature)):
        data = json.dumps(dsse.Envelope(envelope.payload, (other,)).to_json()).encode()
        with pytest.raises(MismatchError, match="no signature"):
            slsa.read_provenance(data)


# ---------------------------------------------------------------- drafts


def test_a_draft_takes_the_words_of_the_file_first() -> None:
    card = modelcard.read_card(
        b"---\nlicense: mit\nbase_model: [a/b]\nbase_model_relation: quantized\np2pverify: {model: other}\n---\n"
    )
    found = drafts.draft(GGUF, card)
    assert (found.manifest.model, found.manifest.licence) == ("tiny", "mit")
    assert found.manifest.provenance == "quantized from a/b"
    assert found.sources == {"model": "gguf", "licence": "card", "provenance": "card"}
    assert (found.manifest.weights, found.manifest.golden.paths) == (GGUF.weights, ())


def test_a_draft_says_what_differs() -> None:
    card = modelcard.read_card(modelcard.write_card(FACTS).encode())
    same = drafts.draft(GGUF, card)
    assert "the card names these weights" in same.verified
    other = drafts.draft(GgufFacts("tiny", "mit", "Q5_0", bytes(32), bytes(32), bytes(32)), card)
    assert "the card names other weights, of another file" in other.unverified
    assert "the card's licence is 'apache-2.0', and the file's another one" in other.unverified


def test_words_of_strangers_are_shortened() -> None:
    """They fit the manifest, and hold no control characters."""
    found = drafts.draft(GgufFacts("\x1b[2J" + "é" * 500, "l" * 99, "Q5_0", bytes(32), bytes(32), bytes(32)), None)
    assert found.manifest.model == "[2J" + "é" * 62
    assert len(found.manifest.licence) == 64


def test_a_signed_folder_is_verified(folder: Path) -> None:
    found = drafts.draft(GGUF, drafts.find_card(folder))
    (folder / "model.sig").write_bytes(signed(folder, ("model.sig",)))
    bundle = drafts.find_bundle(folder)
    assert (bundle, drafts.find_weights(folder)) == (folder / "model.sig", folder / "tiny.gguf")
    drafts.check_bundle(found, bundle.read_bytes(), folder, PUBLIC, ("model.sig",))
    assert f"the signature over {len(CONTENTS)} files, by the given key" in found.verified
    unsigned = drafts.draft(GGUF, None)
    drafts.check_bundle(unsigned, bundle.read_bytes(), folder, None, ("model.sig",))
    assert any(text.startswith("who signed the folder") for text in unsigned.unverified)


def test_a_folder_that_is_not_the_signed_one_is_refused(folder: Path) -> None:
    data = signed(folder)
    other = drafts.draft(GgufFacts("tiny", "", "Q5_0", bytes(32), bytes(32), bytes(32)), None)
    with pytest.raises(MismatchError, match="does not sign the weights"):
        drafts.check_bundle(other, data, folder, PUBLIC, ())
    (folder / "new.txt").write_text("x")
    with pytest.raises(MismatchError, match=r"not signed: new\.txt"):
        drafts.check_bundle(drafts.draft(GGUF, None), data, folder, PUBLIC, ())


def test_several_weights_are_a_question(folder: Path) -> None:
    (folder / "second.gguf").write_bytes(b"x")
    with pytest.raises(ForeignError, match="2 GGUF files"):
        drafts.find_weights(folder)
    with pytest.raises(ForeignError, match="not a folder"):
        drafts.find_weights(folder / "README.md")
    (folder / "README.md").unlink()
    (folder / "README.md").symlink_to("/etc/hostname")
    assert drafts.find_card(folder) is None
