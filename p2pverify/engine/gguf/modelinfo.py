"""The description of the GGUF weights that an engine runs; common to all engines."""

from collections.abc import Collection
from hashlib import sha256

from p2pverify.engine.gguf import chat_template, weights
from p2pverify.engine.gguf.reader import FileHead
from p2pverify.node.ports import ModelInfo


def model_info(
    head: FileHead,
    digest: bytes,
    *,
    engine: str,
    numeric_path: str,
    context_tokens: int,
    vocab_tokens: int,
    can: Collection[str],
    lanes: int = 1,
) -> ModelInfo:
    """The model description from a file's head and its SHA-256 (32 B). The engine passes the other values."""
    named = head.text("general.name", "unnamed")
    return ModelInfo(
        model=weights.NAME if digest == weights.SHA256 else f"{named} {head.quantisation}",
        weights_sha256=digest,
        tokenizer_sha256=head.tokenizer_sha256(),
        template_sha256=sha256(chat_template.template_of(head).encode()).digest(),
        engine=engine,
        numeric_path=numeric_path,
        quantisation=head.quantisation,
        licence=head.text("general.license", "unknown"),
        context_tokens=context_tokens,
        vocab_tokens=vocab_tokens,
        can=frozenset(can),
        lanes=lanes,
    )
