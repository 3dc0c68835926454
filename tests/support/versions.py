"""Facts of a version with everything that the writers of interop know how to write, and its files in a folder."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from p2pverify.core.contract.classes import Across
from p2pverify.core.contract.history.files import FileEntry
from p2pverify.core.contract.history.release import Grade
from p2pverify.core.contract.manifest import Calibration
from p2pverify.core.encoding.sign import public_key
from p2pverify.interop.facts import DataFacts, FileFacts, ParentFacts, VersionFacts
from tests.support.releases import MANIFEST, PARENT, RELEASE

SEED = bytes(range(32))
#: A key for Model Signing, in PEM. Everybody knows it.
_KEY = ec.derive_private_key(12345, ec.SECP256R1())
PRIVATE = _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
PUBLIC = _KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
#: Names whose order differs between texts and paths: "-" is less than "/".
CONTENTS = {"README.md": b"# tiny\n", "a-b.txt": b"one\n", "a/b.txt": b"two\n", "tiny.gguf": bytes(range(256)) * 4}
CREATED_S = 1_796_000_000


def write_folder(folder: Path) -> Path:
    """The version's files."""
    for name, content in CONTENTS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


FILES = tuple(FileFacts(name, len(data), sha256(data).digest()) for name, data in sorted(CONTENTS.items()))
_CALIBRATION = Calibration("llama", "avx2", "llama", "avx512", 64, 4096, Across(1, 2, 3, 4, 5, 6000), 5000)
_MANIFEST = replace(MANIFEST, weights=sha256(CONTENTS["tiny.gguf"]).digest(), calibrations=(_CALIBRATION,))
_RELEASE = replace(
    RELEASE,
    manifest=_MANIFEST.encode(),
    files=tuple(FileEntry(one.path, one.size, one.sha256, bytes(32)) for one in FILES),
)
FACTS = VersionFacts(
    manifest=_MANIFEST,
    files=FILES,
    created_s=CREATED_S,
    release=_RELEASE,
    network=bytes([9]) * 32,
    network_name="test net",
    line="tiny",
    status="current",
    publishers=(public_key(SEED),),
    parents=(ParentFacts("someone/tiny-base", PARENT, bytes([6]) * 32),),
    grade=Grade.RECOMPUTED,
    datasets=(DataFacts("ward-a", bytes([8]) * 32, "CC-BY-4.0"),),
)
