"""The kinds of files that `verify` checks, and what it is told about them.

The first bytes of each kind are written out, because `verify` must start quickly and needs the code of one kind only.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from p2pverify.node.engines.kinds import EngineKind

HEAD_BYTES = 256


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """The options of `verify` as the user gave them."""

    network_file: Path | None
    cut: bytes | None
    rerun: bool
    engine: EngineKind | None
    weights: Path | None
    manifest_file: Path | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file: how it begins, its name, the function that checks it, and the options that it takes."""

    begins: re.Pattern[bytes]
    name: str
    check: str  # module:function, called with the path and the VerifyOptions
    takes: frozenset[str]


KINDS: tuple[FileKind, ...] = (
    FileKind(
        re.compile(rb'\s*\{\s*"schema"\s*:\s*"p2pverify/client-receipt/1"'),
        "the receipt of an answer",
        "p2pverify.cli.check.receipt_file:check_receipt",
        frozenset({"--network", "--cut", "--rerun", "--engine", "--weights"}),
    ),
    FileKind(
        re.compile(rb"\x88tp2pverify/passport/1"),
        "a passport",
        "p2pverify.cli.check.passport_file:check_passport_file",
        frozenset({"--network", "--cut"}),
    ),
    FileKind(
        re.compile(rb"\x89x\x1dp2pverify/endpoint-evidence/1"),
        "evidence of audit-endpoint",
        "p2pverify.cli.check.evidence:check_endpoint",
        frozenset({"--manifest", "--weights"}),
    ),
)


def kind_of_file(head: bytes) -> FileKind | None:
    """The kind of a file with these first bytes."""
    return next((kind for kind in KINDS if kind.begins.match(head)), None)
