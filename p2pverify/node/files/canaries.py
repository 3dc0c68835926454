"""Canaries on a machine: an engine writes and answers triggers, and files hold them.

The module `core.inference.canary` defines the bytes, and what evidence shows.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from p2pverify.core.contract.manifest import Manifest
from p2pverify.core.contract.output import NO_LOGITS
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
from p2pverify.node.engines.selftest import is_steady
from p2pverify.node.files.outputs import always, open_output
from p2pverify.node.files.textfile import FileError, read_bytes
from p2pverify.node.ports import Engine


def make_trigger(engine: Engine, *, prompt_tokens: int, tokens_max: int) -> Trigger:
    """A new secret prompt without answers. The model writes it from a seed that is then forgotten. Blocks."""
    prompt = engine.write_prompt(os.urandom(16), prompt_tokens)
    return Trigger(os.urandom(32), prompt, tokens_max, ())


def answer_trigger(engine: Engine, trigger: Trigger) -> Trigger:
    """The trigger with this engine's answer added. Blocks for seconds.

    The answer commits to its logits only if one pass over it gives the same logits; otherwise they may differ next
    time. Raises ValueError if the trigger has a different answer of the same path, or if its vocabulary is another.
    """
    output = engine.answer(trigger.ask).output
    if not is_steady(engine, trigger.ask, output):
        output = replace(output, logits=NO_LOGITS)
    path = (engine.info.engine, engine.info.numeric_path)
    before = trigger.reply(*path)
    if before is not None:
        if before.output != output:
            raise ValueError(f"this machine does not give the answers of {' '.join(path)}")
        return trigger
    replies = (*trigger.replies, CanaryReply(*path, os.urandom(32), output))
    return replace(trigger, replies=tuple(sorted(replies, key=lambda r: (r.engine, r.numeric_path))))


def committed(manifest: Manifest, triggers: Sequence[Trigger]) -> Manifest:
    """The manifest with the commitments of these triggers; they replace older commitments to the same prompts."""
    by_prompt = {canary.prompt: canary for canary in manifest.canaries}
    by_prompt |= {trigger.commitment: trigger.canary() for trigger in triggers}
    return replace(manifest, canaries=tuple(by_prompt[prompt] for prompt in sorted(by_prompt)))


# ---------------------------------------------------------------- files


def load_secrets(path: Path) -> tuple[Trigger, ...]:
    """The triggers in a file that only its owner may read. Raises FileError."""
    missing = "make it with 'p2pverify model canary new', or get one from its maker"
    data = read_bytes(path, size_max=CANARY_SECRETS_BYTES_MAX, missing=missing, private=True)
    try:
        return decode_secrets(data)
    except DecodeError as error:
        raise FileError(path, error.reason, "get the file again, or restore it") from None


def save_secrets(path: Path, triggers: Sequence[Trigger]) -> None:
    """Write triggers with mode 0600, completely or not at all.

    Raises OutputError, and ValueError if there are too many.
    """
    data = encode_secrets(triggers)
    try:
        decode_secrets(data)
    except DecodeError as error:
        raise ValueError(error.reason) from None
    with open_output(path, always, mode=0o600, is_binary=True) as file:
        file.write(data)


def load_evidence(path: Path) -> CanaryEvidence:
    """Read evidence from a file; it is not verified yet. Raises FileError."""
    missing = "'p2pverify model canary ask' writes such files"
    data = read_bytes(path, size_max=CANARY_EVIDENCE_BYTES_MAX, missing=missing)
    try:
        return decode_canary_evidence(data)
    except DecodeError as error:
        raise FileError(path, error.reason, "get the file again") from None


def save_evidence(path: Path, evidence: CanaryEvidence) -> None:
    """Write evidence, completely or not at all. Raises OutputError."""
    with open_output(path, always, is_binary=True) as file:
        file.write(evidence.encode())
