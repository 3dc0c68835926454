"""Recognises, by its first bytes, a file that is not a ledger export."""

import json
import re

HEAD_BYTES = 65_536
_SQLITE = b"SQLite format 3\0"
_SCHEMA = re.compile(r'^\s*\{\s*"schema"\s*:\s*("[^"\\]{1,80}")')
_PACKED = (
    (b"\x1f\x8b", "gzip"),
    (b"PK\x03\x04", "zip"),
    (b"\xfd7zXZ\0", "xz"),
    (b"(\xb5/\xfd", "zstd"),
    (b"BZh", "bzip2"),
)
_EXPORT = "give the file that 'p2pverify ledger export' wrote"


def name_kind(head: bytes) -> tuple[str, str]:
    """The likely kind of a file, and what to do, from at most its first HEAD_BYTES bytes."""
    if not head:
        return "an empty file", _EXPORT
    if head.startswith(b"p2pverify-segment/"):
        return "a segment of an archive", "check it with 'p2pverify ledger audit FILE'"
    if head.startswith(b"p2pverify-ledger/"):
        return "a ledger export", "check it with 'p2pverify ledger verify FILE'"
    if head.startswith(_SQLITE):
        return "a database, such as a node's", "write an export of it with 'p2pverify --home DIR ledger export FILE'"
    for start, name in _PACKED:
        if head.startswith(start):
            return f"a file packed by {name}", "unpack it first"
    if head.startswith(b"GGUF"):
        return "a model's weights", _EXPORT
    text = _text(head)
    if text is None:
        return "a binary file of no known kind", _EXPORT
    if text.lstrip().startswith(("{", "[")):
        schema = _SCHEMA.match(text)
        return f"a JSON document{f' ({json.loads(schema[1])})' if schema else ''}", _EXPORT
    if re.search(r"^epoch_ms\s*=", text, re.MULTILINE) and re.search(r"^founders\s*=", text, re.MULTILINE):
        return "a network file", "give it to --network, and an export as FILE"
    if re.fullmatch(r"\s*[0-9a-f]{64}\s*", text):
        return "64 hexadecimal digits, as a key or a token", "keep it secret; " + _EXPORT
    return "a text file", _EXPORT


def _text(head: bytes) -> str | None:
    """The text of a text file, else None. Its last character may be cut off."""
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3 or error.reason != "unexpected end of data":
            return None
        text = head[: error.start].decode("utf-8-sig")
    return None if "\0" in text else text
