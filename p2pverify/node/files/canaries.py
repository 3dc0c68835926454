"""Canaries on a machine: triggers that an engine writes and answers, and the files that hold them.

What the bytes mean, and what evidence shows, is left to `core.inference.canary`.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from p2pverify.core.contract.golden import GoldenQuestion
from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.errors import DecodeError
from p2pverify.core.inference.canary import (
    CANARY_EVIDENCE_BYTES_MAX,
    CANARY_SECRETS_BYTES_MAX,
    CanaryEvidence,
    CanaryReply,
    Trigger,
    decode_canary_evidence,
    decode_secrets,
    encode_secrets,
)
from p2pverify.core.inference.question import NO_LOGITS
from p2pverify.node.engines.selftest import answer_question, is_steady
from p2pverify.node.files.outputs import always, open_output
from p2pverify.node.files.textfile import FileError, read_bytes
from p2pverify.node.ports import Engine

_GREEDY_KEY = bytes(32)  # of a sampler that has nothing to draw


def make_trigger(engine: Engine, *, prompt_tokens: int, tokens_max: int) -> Trigger:
    """A new secret prompt, without answers: the model writes it from a seed that is forgotten. Blocks."""
    prompt = engine.write_prompt(os.urandom(16), prompt_tokens)
    return Trigger(os.urandom(32), prompt, tokens_max, ())


def answer_trigger(engine: Engine, trigger: Trigger) -> Trigger:
    """The trigger with this engine's answer as well. Blocks for seconds.

    Logits are committed to only if one pass over the answer gives them too: others may be different next time.
    Raises ValueError if another answer of the same path is there already, or the vocabulary is another.
    """
    question = GoldenQuestion(trigger.prompt, trigger.tokens_max, 0, _GREEDY_KEY)
    made = answer_question(engine, question)
    logits = made.logits_sha256 if is_steady(engine, question, made) else NO_LOGITS
    path = (engine.info.engine, engine.info.numeric_path)
    before = trigger.reply(*path)
    if before is not None:
        if (before.tokens, before.finish, before.logits) != (made.tokens, made.finish, logits):
            raise ValueError(f"this machine does not give the answers of {' '.join(path)}")
        return trigger
    replies = (*trigger.replies, CanaryReply(*path, os.urandom(32), made.tokens, made.finish, logits))
    return replace(trigger, replies=tuple(sorted(replies, key=lambda r: (r.engine, r.numeric_path))))


def committed(manifest: Manifest, triggers: Sequence[Trigger]) -> Manifest:
    """The manifest with the commitments of these triggers, in place of older ones of the same."""
    by_prompt = {canary.prompt: canary for canary in manifest.canaries}
    by_prompt |= {trigger.commitment: trigger.canary() for trigger in triggers}
    return replace(manifest, canaries=tuple(by_prompt[prompt] for prompt in sorted(by_prompt)))


# ---------------------------------------------------------------- files


def load_secrets(path: Path) -> tuple[Trigger, ...]:
    """The triggers in a file that only its owner may read. Raises FileError."""
    missing = "make it with 'p2pverify model canary new', or get one"
    data = read_bytes(path, size_max=CANARY_SECRETS_BYTES_MAX, missing=missing, private=True)
    try:
        return decode_secrets(data)
    except DecodeError as error:
        raise FileError(path, error.reason, "get the file anew, or restore it") from None


def save_secrets(path: Path, triggers: Sequence[Trigger]) -> None:
    """Write triggers, whole or not at all, with mode 0600. Raises ValueError if they are too many, OutputError."""
    data = encode_secrets(triggers)
    try:
        decode_secrets(data)
    except DecodeError as error:
        raise ValueError(error.reason) from None
    with open_output(path, always, mode=0o600, is_binary=True) as file:
        file.write(data)


def load_evidence(path: Path) -> CanaryEvidence:
    """Evidence as somebody wrote it; nothing of it is verified yet. Raises FileError."""
    missing = "'p2pverify model canary ask' writes such files"
    data = read_bytes(path, size_max=CANARY_EVIDENCE_BYTES_MAX, missing=missing)
    try:
        return decode_canary_evidence(data)
    except DecodeError as error:
        raise FileError(path, error.reason, "get the file anew") from None


def save_evidence(path: Path, evidence: CanaryEvidence) -> None:
    """Write evidence, whole or not at all. Raises OutputError."""
    with open_output(path, always, is_binary=True) as file:
        file.write(evidence.encode())
