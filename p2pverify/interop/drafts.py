"""A manifest's draft from what others say of a model: its GGUF file, its card, and a signature over its folder.

A draft has what the bytes say, and a list of what nobody checked. Golden answers and thresholds are not in it: a
machine has to measure them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from p2pverify.core.contract.manifest import Manifest
from p2pverify.interop import modelcard, oms
from p2pverify.interop.foreign import ForeignError, MismatchError, is_plain
from p2pverify.interop.modelcard import ModelCard

CARD_NAME = "README.md"
BUNDLE_NAMES = ("model.sig", "model.sigstore.json")
_MODEL_BYTES, _LICENCE_BYTES, _PROVENANCE_BYTES = 128, 64, 512


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """What a GGUF file says of itself, and the digests of its parts (32 B each); texts are "" if it does not say."""

    name: str
    licence: str
    quantisation: str
    weights: bytes
    tokenizer: bytes
    template: bytes


@dataclass(slots=True)
class Draft:
    """A draft: the manifest, where its words come from, and what could not be verified."""

    manifest: Manifest
    sources: dict[str, str] = field(default_factory=dict)
    verified: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)


def draft(gguf: GgufFacts, card: ModelCard | None) -> Draft:
    """The manifest that file and card describe. The file's own words come first."""
    sources: dict[str, str] = {}
    said = ModelCard({}, "") if card is None else card
    own = said.metadata.get("p2pverify")
    own_texts: Mapping[str, object] = own if isinstance(own, dict) else {}

    def chosen(name: str, size_max: int, *options: tuple[str, object]) -> str:
        for source, text in options:
            if isinstance(text, str) and text and text != "unknown":
                sources[name] = source
                return _shortened(text, size_max)
        return ""

    licence = said.first("license_name") if said.first("license") == "other" else said.first("license")
    manifest = Manifest(
        chosen("model", _MODEL_BYTES, ("gguf", gguf.name), ("card", own_texts.get("model"))) or "unnamed",
        gguf.weights,
        gguf.tokenizer,
        gguf.template,
        gguf.quantisation,
        chosen("licence", _LICENCE_BYTES, ("gguf", gguf.licence), ("card", licence)) or "unknown",
        chosen("provenance", _PROVENANCE_BYTES, ("card", _provenance(said))),
        None,
    )
    found = Draft(manifest, sources)
    found.verified.append("the digests of weights, tokenizer and chat template are those of the file")
    found.unverified.append("golden answers and thresholds: measure them with 'p2pverify model add'")
    for name, source in sorted(sources.items()):
        found.unverified.append(f"{name}: a word of the {source}")
    claimed = own_texts.get("weights")
    if isinstance(claimed, str):
        same = claimed == gguf.weights.hex()
        (found.verified if same else found.unverified).append(
            "the card names these weights" if same else "the card names other weights, of another file"
        )
    if said.first("license") and gguf.licence not in ("", "unknown") and licence.lower() != gguf.licence.lower():
        found.unverified.append(f"the card's licence is {_shortened(licence, 64)!r}, and the file's another one")
    return found


def check_bundle(found: Draft, data: bytes, folder: Path, public_pem: bytes | None, besides: tuple[str, ...]) -> None:
    """Hold a folder against a bundle of Model Signing, and write down in the draft what follows.

    Without a key, the signer stays unverified. Raises MismatchError if the signature or a file does not hold,
    ForeignError for a bundle that is none.
    """
    bundle = oms.read_bundle(data)
    if public_pem is not None:
        oms.check_signature(bundle, public_pem)
    findings = oms.check_folder(bundle, folder, besides)
    if not findings.holds:
        wrong = (("changed", findings.changed), ("missing", findings.missing), ("not signed", findings.unsigned))
        told = "; ".join(f"{what}: {', '.join(paths[:5])}" for what, paths in wrong if paths)
        raise MismatchError(f"the folder is not the signed one ({told})", "get the files and the bundle again")
    if found.manifest.weights not in {file.sha256 for file in bundle.files}:
        raise MismatchError("the bundle does not sign the weights", "name the GGUF file in the signed folder")
    if public_pem is None:
        found.unverified.append("who signed the folder: give the signer's public key with --key")
    else:
        found.verified.append(f"the signature over {len(bundle.files)} files, by the given key")
    found.unverified += [f"{path}: left out of the signature" for path in findings.left_out if path not in besides]


def find_card(folder: Path) -> ModelCard | None:
    """The model card of a folder, if there is one. Raises ForeignError."""
    data = _read(folder / CARD_NAME, modelcard.CARD_BYTES_MAX)
    return None if data is None else modelcard.read_card(data)


def find_bundle(folder: Path) -> Path | None:
    """The bundle in a folder by its usual names, if there is one."""
    return next((folder / name for name in BUNDLE_NAMES if is_plain(folder / name)), None)


def find_weights(folder: Path) -> Path:
    """The only GGUF file of a folder. Raises ForeignError."""
    if not folder.is_dir():
        raise ForeignError(f"{folder} is not a folder", "name the folder of a model")
    found = sorted(path for path in folder.glob("*.gguf") if is_plain(path))
    if len(found) != 1:
        raise ForeignError(f"{folder} has {len(found)} GGUF files, and one is expected", "name it with --weights")
    return found[0]


def parents_of(card: ModelCard | None) -> list[str]:
    """The names of the base models that a card claims."""
    if card is None:
        return []
    value = card.metadata.get("base_model")
    return [text[:128] for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]


def _provenance(card: ModelCard) -> str:
    bases = parents_of(card)
    relation = card.first("base_model_relation")
    return f"{relation or 'made'} from {', '.join(bases)}" if bases else ""


def _shortened(text: str, size_max: int) -> str:
    """Printable text of at most `size_max` bytes."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return plain.encode()[:size_max].decode(errors="ignore").strip()


def _read(path: Path, size_max: int) -> bytes | None:
    if not is_plain(path):
        return None
    try:
        with path.open("rb") as file:
            data = file.read(size_max + 1)
    except OSError as error:
        raise ForeignError(f"{path} cannot be read ({error.strerror})", "check its permissions") from None
    if len(data) > size_max:
        raise ForeignError(f"{path} has more than {size_max} bytes", "check that it is the right file")
    return data
