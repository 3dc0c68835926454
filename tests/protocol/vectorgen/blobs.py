"""Cases of files from peers: entries of files, chunk lists, requests, and answers."""

from pathlib import Path

from vectorgen.case import Case, changed

from p2pverify.core.blobs.chunks import DOMAIN, ChunkList, chunk_bytes, decode_chunk_list, read_chunk_list
from p2pverify.core.blobs.messages import BlobRefused, BlobRequest, decode_blob_answer, decode_blob_request
from p2pverify.core.contract.history.files import FILE_BYTES_MAX, FileEntry, read_file_entry
from p2pverify.core.encoding.canon import decode, encode, sha256
from p2pverify.core.errors import DecodeError

MIB = 1024 * 1024
#: A file of two whole chunks of zeroes and one of five bytes.
PARTS = (bytes(MIB), bytes(MIB), b"hello")
LIST = ChunkList(2 * MIB + 5, tuple(sha256(part) for part in PARTS))
ENTRY = FileEntry("model.gguf", LIST.size, sha256(b"".join(PARTS)), LIST.digest)
ASKED = BlobRequest(ENTRY.sha256, 2 * MIB, 5)
VALUE: list[object] = [DOMAIN, LIST.size, MIB, list(LIST.hashes)]


def _entry(comment: str, data: bytes, reason: str | None = None) -> Case:
    try:
        assert encode(read_file_entry(decode(data, size_max=4096)).to_value()) == data
        found = None
    except DecodeError as error:
        found = error.reason
    assert found == reason, f"{comment}: {found}"
    return _case(comment, {"entry": data.hex()}, "accept" if reason is None else "reject", reason)


def entries() -> list[Case]:
    value = ENTRY.to_value()
    outside = "path: absolute, or with a segment that is empty, '.' or '..'"
    letters = "path: not printable ASCII without backslashes"

    def path(comment: str, text: object, reason: str | None = None) -> Case:
        return _entry(comment, encode(changed(value, 0, text)), reason)

    return [
        _entry("a model", encode(value)),
        path("in a folder, with a space", "models/q4 1/model.gguf"),
        path("a segment of three dots", "a/.../b"),
        path("256 bytes of path", "x" * 256),
        _entry("an empty file", encode(["a", 0, sha256(b""), ChunkList(0, ()).digest])),
        _entry("the largest file", encode(changed(value, 1, FILE_BYTES_MAX))),
        _entry("a larger file", encode(changed(value, 1, FILE_BYTES_MAX + 1)), f"size: above {FILE_BYTES_MAX}"),
        path("257 bytes of path", "x" * 257, "path: longer than 256 bytes"),
        path("no path", "", outside),
        path("an absolute path", "/etc/passwd", outside),
        path("a path that leads out", "a/../../b", outside),
        path("this folder", ".", outside),
        path("an empty segment", "a//b", outside),
        path("a folder", "a/", outside),
        path("a backslash", "..\\a", letters),
        path("a zero byte", "a\0", letters),
        path("a letter beyond ASCII", "modèle", letters),
        path("a path of bytes", b"a", "path: not text"),
        _entry("a digest of 31 bytes", encode(changed(value, 2, bytes(31))), "sha256: not 32 bytes"),
        _entry("no chunk list", encode(value[:3]), "file: not 4 items"),
    ]


def _list(comment: str, data: bytes, reason: str | None = None, *, entry: FileEntry = ENTRY) -> Case:
    """A list, judged by itself and then for its file."""
    try:
        assert decode_chunk_list(data).encode() == data
        read_chunk_list(entry, data)
        found = None
    except DecodeError as error:
        found = error.reason
    assert found == reason, f"{comment}: {found}"
    inputs: dict[str, object] = {"list": data.hex(), "entry": encode(entry.to_value()).hex()}
    return _case(comment, inputs, "accept" if reason is None else "reject", reason)


def _of(size: int) -> tuple[FileEntry, bytes]:
    """The entry and the list of a file of a size, with any hashes."""
    count = -(-size // chunk_bytes(size))
    found = ChunkList(size, (bytes(32),) * count)
    return FileEntry("a", size, bytes(32), found.digest), found.encode()


def lists() -> list[Case]:
    empty, exact = _of(0), _of(MIB)
    sizes = "chunk-bytes: not those of a file of this size"
    other = "not the chunk list of this file"
    return [
        _list("two chunks of zeroes and five bytes", LIST.encode()),
        _list("an empty file has no chunks", empty[1], entry=empty[0]),
        _list("one whole chunk", exact[1], entry=exact[0]),
        _list("a list of another file", exact[1], other),
        _list("a list with another hash", encode(changed(VALUE, 3, [bytes(32)] * 3)), other),
        _list("another domain", encode(changed(VALUE, 0, "p2pverify/chunks/2")), "chunk list: another domain"),
        _list("chunks of 4 MiB for a small file", encode(changed(VALUE, 2, 4 * MIB)), sizes),
        _list("chunks of no bytes", encode(changed(VALUE, 2, 0)), sizes),
        _list("chunks of 1 MiB for 8 GB", encode(changed(VALUE, 1, 8 * 10**9)), sizes),
        _list("a hash too many", encode(changed(VALUE, 3, [bytes(32)] * 4)), "hashes: not 3 items"),
        _list("a hash too few", encode(changed(VALUE, 3, [bytes(32)] * 2)), "hashes: not 3 items"),
        _list("a hash of 31 bytes", encode(changed(VALUE, 3, [bytes(31)] * 3)), "hash: not 32 bytes"),
        _list("a file beyond all", encode(changed(VALUE, 1, 2**62)), f"bytes: above {FILE_BYTES_MAX}"),
        _list("an item more", encode([*VALUE, 0]), "chunk list: not 4 items"),
        _list("a byte more", LIST.encode() + b"\0", "trailing bytes"),
    ]


def _request(comment: str, data: bytes, reason: str | None = None) -> Case:
    try:
        assert decode_blob_request(data).encode() == data
        found = None
    except DecodeError as error:
        found = error.reason
    assert found == reason, f"{comment}: {found}"
    return _case(comment, {"request": data.hex()}, "accept" if reason is None else "reset", reason)


def requests() -> list[Case]:
    digest = ENTRY.sha256
    return [
        _request("the last five bytes of a file", ASKED.encode()),
        _request("the whole chunk list", BlobRequest(ENTRY.chunks, 0, len(LIST.encode())).encode()),
        _request("a whole piece", BlobRequest(digest, MIB, MIB).encode()),
        _request("far beyond the file, which is refused", BlobRequest(digest, FILE_BYTES_MAX, 1).encode()),
        _request("nothing", b"", "truncated"),
        _request("65 bytes", bytes(65), "too long"),
        _request("no bytes", encode([digest, 0, 0]), "length: 0"),
        _request("more than 1 MiB", encode([digest, 0, MIB + 1]), f"length: above {MIB}"),
        _request("an offset beyond all", encode([digest, 2**60, 1]), f"offset: above {FILE_BYTES_MAX}"),
        _request("a path instead of a digest", encode(["model.gguf", 0, 1]), "sha256: not a byte string"),
        _request("no length", encode([digest, 0]), "blob request: not 3 items"),
    ]


def _answer(comment: str, data: bytes, expect: str, reason: str | None = None) -> Case:
    try:
        assert decode_blob_answer(data, ASKED.length) == data[1:]
        found: tuple[str, str | None] = ("accept", None)
    except BlobRefused as refused:
        found = (refused.status.word, None)
    except DecodeError as error:
        found = ("invalid", error.reason)
    assert found == (expect, reason), f"{comment}: {found}"
    return _case(comment, {"length": ASKED.length, "answer": data.hex()}, expect, reason)


def answers() -> list[Case]:
    length = "blob answer: another length"
    return [
        _answer("the five bytes", b"\0hello", "accept"),
        _answer("no counted record names it", b"\1", "unknown"),
        _answer("no whole copy here", b"\2", "not-served"),
        _answer("later", b"\3", "busy"),
        _answer("the blob is shorter", b"\4", "beyond"),
        _answer("show your network first", b"\5", "unconfirmed"),
        _answer("nothing", b"", "invalid", "blob answer: empty"),
        _answer("a byte too few", b"\0hell", "invalid", length),
        _answer("a byte too many", b"\0hello!", "invalid", length),
        _answer("bytes after a refusal", b"\3hello", "invalid", length),
        _answer("a status that there is not", b"\6", "invalid", "blob answer: no such status"),
    ]


def _case(comment: str, inputs: dict[str, object], expect: str, reason: str | None) -> Case:
    return {"comment": comment, "input": inputs, "expect": expect, "reason": reason}


def cases() -> dict[Path, list[Case]]:
    return {
        Path("file-entry"): entries(),
        Path("chunk-list"): lists(),
        Path("blob-request"): requests(),
        Path("blob-answer"): answers(),
    }
