"""The manifest: what a model is, in digests that anybody can check before using it."""

from dataclasses import dataclass

from p2pverify.core.canon import as_array, as_bytes, as_text, decode, encode, sha256
from p2pverify.core.errors import DecodeError

DOMAIN = "p2pverify/manifest/1"
MANIFEST_BYTES_MAX = 4096


@dataclass(frozen=True, slots=True)
class Manifest:
    """Description of a model. Digests are SHA-256; `parent` is the manifest of the version before, if any."""

    model: str
    weights: bytes
    tokenizer: bytes
    template: bytes
    quantisation: str
    licence: str
    provenance: str
    parent: bytes | None

    def encode(self) -> bytes:
        return encode(
            [
                DOMAIN,
                self.model,
                self.weights,
                self.tokenizer,
                self.template,
                self.quantisation,
                self.licence,
                self.provenance,
                self.parent,
            ]
        )

    @property
    def digest(self) -> bytes:
        return sha256(self.encode())


def decode_manifest(data: bytes) -> Manifest:
    """Read a canonical manifest. Raises DecodeError."""
    top = as_array(decode(data, size_max=MANIFEST_BYTES_MAX), "manifest", length=9)
    if top[0] != DOMAIN:
        raise DecodeError("not a manifest")
    return Manifest(
        as_text(top[1], "model", 128),
        as_bytes(top[2], "weights", size=32),
        as_bytes(top[3], "tokenizer", size=32),
        as_bytes(top[4], "template", size=32),
        as_text(top[5], "quantisation", 64),
        as_text(top[6], "licence", 64),
        as_text(top[7], "provenance", 512),
        None if top[8] is None else as_bytes(top[8], "parent", size=32),
    )
