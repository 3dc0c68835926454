"""Text files from editors and other programs."""

import codecs
import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pverify.core.contract.manifest import Manifest
from p2pverify.node.files.config import load_config
from p2pverify.node.files.corpus import read_corpus, read_replay
from p2pverify.node.files.home import Home
from p2pverify.node.files.manifestfile import load_manifest, save_manifest
from p2pverify.node.files.networkfile import dump_network, load_network, new_network
from p2pverify.node.files.textfile import (
    FileError,
    FileMissingError,
    TextError,
    decode_text,
    lines_of,
    read_bytes,
    user_path,
)
from p2pverify.node.identity.private import HomeError
from p2pverify.testnet.scenario import load_scenario
from tests.node.fakes import FakeEngine

KEY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
MANIFEST = Manifest("m", *[bytes([n]) * 32 for n in range(3)], "q", "l", "p", None)
#: Characters at which `str.splitlines` splits a line although editors do not.
INSIDE_LINES = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
READERS = {
    "config": (load_config, b'log_level = "info"\n'),
    "network": (load_network, dump_network(*new_network("n", [KEY], FakeEngine().info, genesis_ms=1)).encode()),
    "scenario": (lambda path: load_scenario(str(path)), b"[testnet]\npeers = 3\n"),
    "corpus": (read_corpus, b"Why?\n# mine\nHow so?\n"),
    "replay": (read_replay, b'{"messages": [{"role": "user", "content": "Why?"}]}\n'),
}


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, bytes]]:
    """Every reader of text files, with a valid file for it."""
    path = tmp_path_factory.mktemp("manifest") / "m.toml"
    save_manifest(path, MANIFEST)
    return {**READERS, "manifest": (load_manifest, path.read_bytes())}


NAMES = [*READERS, "manifest"]


@pytest.mark.parametrize("name", NAMES)
def test_marks_and_line_ends_change_nothing(name: str, readers: dict, tmp_path: Path) -> None:
    """A byte order mark, CR LF, and a last line without an end give the same result."""
    read, data = readers[name]
    path = tmp_path / "f"
    path.write_bytes(data)
    expected = read(path)
    for other in (
        codecs.BOM_UTF8 + data,
        data.replace(b"\n", b"\r\n"),
        codecs.BOM_UTF8 + data.replace(b"\n", b"\r\n").rstrip(),
        data.rstrip(b"\n"),
    ):
        path.write_bytes(other)
        assert read(path) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_other_encodings_are_named(name: str, encoding: str, readers: dict, tmp_path: Path) -> None:
    """A file in UTF-16 or UTF-32, with its mark or without, is refused with advice."""
    read, data = readers[name]
    path = tmp_path / "f"
    path.write_bytes(data.decode().encode(encoding))
    with pytest.raises(FileError, match="UTF-") as caught:
        read(path)
    assert "UTF-8" in caught.value.hint


@pytest.mark.parametrize("name", NAMES)
def test_latin_1_is_refused_with_its_place(name: str, readers: dict, tmp_path: Path) -> None:
    read, data = readers[name]
    path = tmp_path / "f"
    path.write_bytes(data + b"# caf\xe9\n")
    with pytest.raises(FileError, match=f"byte {len(data) + 5}"):
        read(path)


@given(st.lists(st.text(st.characters(exclude_characters="\r\n\0\ufeff", exclude_categories=("Cs",))), min_size=1))
def test_lines_end_where_editors_end_them(lines: list[str]) -> None:
    """Only LF, CR LF and CR end lines."""
    for end in ("\n", "\r\n", "\r"):
        assert lines_of(end.join(lines) + end) == lines


@given(st.lists(st.text(st.sampled_from("a " + INSIDE_LINES), min_size=1).filter(str.strip), min_size=1, max_size=5))
def test_no_character_of_a_prompt_parts_it(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """Prompts of requests are read back whole, one for each request."""
    path = tmp_path_factory.mktemp("replay") / "f"
    requests = [{"messages": [{"role": "user", "content": text}]} for text in texts]
    for ascii_only in (True, False):
        lines = [json.dumps(each, ensure_ascii=ascii_only) for each in requests]
        path.write_text("\n".join(lines), encoding="utf-8", newline="")
        assert [prompt.text for prompt in read_replay(path)] == texts
    path.write_text("\n".join(f"x{text}x" for text in texts), encoding="utf-8", newline="")
    assert [prompt.text for prompt in read_corpus(path)] == [f"x{text}x" for text in texts]


def test_files_that_were_put_together(tmp_path: Path) -> None:
    """`cat` of files with byte order marks leaves marks before lines."""
    path = tmp_path / "f"
    path.write_bytes(codecs.BOM_UTF8 + b"one\n" + codecs.BOM_UTF8 + b"# two\n" + codecs.BOM_UTF8 + b"three")
    assert [prompt.text for prompt in read_corpus(path)] == ["one", "three"]


@given(st.binary(max_size=60))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    with suppress(TextError):
        assert decode_text(data).encode() in (data, data.removeprefix(codecs.BOM_UTF8))


def test_an_identity_that_went_through_an_editor(tmp_path: Path) -> None:
    """A restored key with a mark and CR LF is the same key. In UTF-16 it is refused, and not replaced."""
    home = Home(tmp_path / "home")
    home.init()
    seed, text = home.load_identity(), home.identity_path.read_text()
    home.identity_path.write_bytes(codecs.BOM_UTF8 + text.replace("\n", "\r\n").encode())
    assert home.load_identity() == seed
    home.identity_path.write_bytes(text.encode("utf-16"))
    with pytest.raises(HomeError, match="UTF-16"):
        home.load_identity()


def test_users_that_there_are_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`~` is the user's directory. `~name` of an unknown user is an ordinary path."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/a") == tmp_path / "a"
    assert user_path("~nobody-of-this-name/a") == Path("~nobody-of-this-name/a")
    assert Home.find("~nobody-of-this-name").path == Path("~nobody-of-this-name").absolute()


def test_a_missing_file_is_told_apart(tmp_path: Path) -> None:
    """A missing file is another error than an unreadable file."""
    for path in (tmp_path / "absent", Path("a\0b")):
        with pytest.raises(FileMissingError):
            read_bytes(path, size_max=9, missing="make it")
    with pytest.raises(FileError) as caught:
        read_bytes(tmp_path, size_max=9, missing="make it")
    assert not isinstance(caught.value, FileMissingError)
