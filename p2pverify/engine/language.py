"""The language of a model: its tokens and its chat template. That of a node is apart from its engine, which is busy."""

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from p2pverify.core.contract.manifest import Manifest
from p2pverify.engine import toy
from p2pverify.engine.errors import WeightsError
from p2pverify.engine.gguf import chat_template
from p2pverify.engine.gguf.conversation import Conversation, Vocabulary
from p2pverify.engine.gguf.reader import CONTROL_TOKEN, UNKNOWN_TOKEN, USER_TOKEN, FileHead, read_head
from p2pverify.engine.llama import bindings
from p2pverify.engine.onhand import REMEMBER, language_files
from p2pverify.engine.toy import ToyEngine
from p2pverify.node.clients.language import Language

#: The digest of what stands for the template of models of rows: see `tabular.engine`.
TABULAR_TEMPLATE = sha256(b"p2pverify/tabular/template/1").digest()


def open_language(path: Path) -> Conversation:
    """The language of a GGUF file. Blocks for about half a second. Raises EngineUnavailable.

    The vocabulary stays open until the process ends, because any thread may be tokenising.
    """
    head = read_head(path)
    tokeniser = open_tokeniser(path)
    return conversation_of(head, tokeniser, pieces_of(tokeniser))


def open_tokeniser(path: Path) -> bindings.LlamaModel:
    """The tokeniser of a GGUF file, without its weights. Raises EngineUnavailable."""
    return bindings.LlamaModel(bindings.load(), path, vocab_only=True)


def pieces_of(tokeniser: bindings.LlamaModel) -> tuple[bytes, ...]:
    """The bytes of every token; empty for special tokens."""
    return tuple(map(tokeniser.piece, range(tokeniser.vocab_tokens)))


def conversation_of(head: FileHead, tokeniser: bindings.LlamaModel, pieces: Sequence[bytes]) -> Conversation:
    """The chat template of GGUF weights, with their tokeniser and its `pieces`.

    Raises WeightsError, also if the template cannot hold a question.
    """
    types = head.token_types()
    if len(types) != tokeniser.vocab_tokens:
        raise WeightsError(f"the weights have types for {len(types)} of {tokeniser.vocab_tokens} tokens")
    names = {
        token: tokeniser.name(token).decode(errors="replace") for token, kind in enumerate(types) if kind in _NAMED
    }
    special = {name: token for token, name in names.items() if types[token] != USER_TOKEN}
    bos, eos = (_number(head, f"tokenizer.ggml.{which}_token_id") for which in ("bos", "eos"))
    vocabulary = Vocabulary(
        tokenise=lambda text: tokeniser.tokenise(text, special=False),
        pieces=pieces,
        special=special,
        named={name: token for token, name in names.items() if types[token] == USER_TOKEN and _is_tag(name)},
        begin=(bos,) if bos in names and _adds_bos(head) else (),
        names={"bos_token": names.get(bos, ""), "eos_token": names.get(eos, "")},
    )
    try:
        made = Conversation(chat_template.template_of(head), vocabulary)
        made.frame()
    except ValueError as error:
        raise WeightsError(str(error)) from None
    return made


def language_of(manifest: Manifest, weights: Path) -> Language:
    """The language of a model by its manifest, read from the file `weights`. Blocks. Raises EngineUnavailable.

    Only the tokens and the template of the file must be the manifest's, so any quantisation of the model will do.
    """
    if manifest.template == TABULAR_TEMPLATE:
        return _tabular_language(manifest, weights)
    if not _has_language(weights, manifest):
        raise WeightsError(f"{weights} has other tokens or another chat template than the model {manifest.model!r}")
    return open_language(weights)


def find_language(manifest: Manifest, own: Path | None = None) -> Language:
    """The language of a model from any file on this machine: `own` first, then the bundled one and the remembered ones.

    Blocks. Raises EngineUnavailable, with what to do, if no file has it.
    """
    toys = ToyEngine().info
    if (manifest.tokenizer, manifest.template) == (toys.tokenizer_sha256, toys.template_sha256):
        return toy_language()
    if manifest.template == TABULAR_TEMPLATE:
        return _tabular_language(manifest, own)
    for path in (*([] if own is None else [own]), *language_files(manifest)):
        with suppress(WeightsError):
            if _has_language(path, manifest):
                return open_language(path)
    raise WeightsError(f"no file on this machine has the tokens of the model {manifest.model!r}: {REMEMBER}")


def _tabular_language(manifest: Manifest, own: Path | None) -> Language:
    """The words of a model of rows, from a file of any version of it. Raises WeightsError."""
    from p2pverify.engine.tabular.engine import open_model  # noqa: PLC0415 - needs numpy
    from p2pverify.engine.tabular.words import TabularLanguage  # noqa: PLC0415

    for path in [] if own is None else [own]:
        schema = open_model(path, None, None).model.schema
        if schema.id == manifest.tokenizer:
            return TabularLanguage(schema)
    raise WeightsError(f"no file on this machine has the features of the model {manifest.model!r}: {REMEMBER}")


def _has_language(path: Path, manifest: Manifest) -> bool:
    """Whether the tokens and the chat template of a GGUF file are those of a manifest. Raises WeightsError."""
    head = read_head(path)
    template = sha256(chat_template.template_of(head).encode()).digest()
    return (manifest.tokenizer, manifest.template) == (head.tokenizer_sha256(), template)


def toy_language() -> Conversation:
    """The language of the toy: UTF-8, one token a byte."""
    special = {chr(byte): byte for byte in toy.SPECIAL}
    pieces = [b"" if byte in toy.SPECIAL else bytes([byte]) for byte in range(toy.VOCAB_TOKENS)]
    return Conversation(toy.TEMPLATE, Vocabulary(toy.encode_text, pieces, special, {}, (), {}))


_NAMED = frozenset((CONTROL_TOKEN, UNKNOWN_TOKEN, USER_TOKEN))


def _is_tag(name: str) -> bool:
    """Whether a token of the publisher stands for something else than its letters, such as <think>."""
    return len(name) > 2 and name[0] in "<[" and name[-1] in ">]"


def _number(head: FileHead, key: str) -> int:
    return head.number(key) if key in head.entries else -1


def _adds_bos(head: FileHead) -> bool:
    key = "tokenizer.ggml.add_bos_token"
    return key in head.entries and head.scalar(key) is True
