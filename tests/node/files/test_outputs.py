"""Output files of commands: regular files are replaced whole or not at all, and other targets are written through."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pverify.node.files.outputs import (
    OutputError,
    always,
    check_output,
    is_stdout,
    never,
    open_output,
    same_report,
    unforced,
)


def write(target: str | Path, text: bytes = b"new", **options: object) -> None:
    with open_output(target, **options) as file:  # type: ignore[arg-type]
        file.write(text)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_a_new_file_is_whole_and_has_its_mode(tmp_path: Path) -> None:
    """No other file is left beside it, even after a failure, which leaves no file."""
    write(tmp_path / "new", mode=0o600)
    assert (tmp_path / "new").read_bytes() == b"new"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o600
    with pytest.raises(RuntimeError), open_output(tmp_path / "other"):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("link", [None, "link", "link to a link"])
@pytest.mark.parametrize("content", [b"", b"precious"])
def test_an_existing_file_stays_unless_it_may_be_replaced(tmp_path: Path, link: str | None, content: bytes) -> None:
    """This also holds through links, which stay links. If writing fails, the old file stays."""
    file = target = tmp_path / "file"
    file.write_bytes(content)
    for number in range(0 if link is None else len(link.split()) // 2 + 1):
        (tmp_path / str(number)).symlink_to(target)
        target = tmp_path / str(number)
    for refuses, hint in ((never, "name another file"), (unforced, "name another file, or replace it with --force")):
        with pytest.raises(OutputError, match="exists already") as caught:
            write(target, replaces=refuses)
        assert (caught.value.hint, caught.value.is_usage) == (hint, False)
    with pytest.raises(TypeError), open_output(target, always) as output:
        output.writelines([b"half", "no bytes"])  # type: ignore[list-item]
    assert file.read_bytes() == content
    write(target, replaces=always)
    assert file.read_bytes() == b"new"
    assert target.is_symlink() == (link is not None)


def test_a_link_to_nothing_makes_what_it_names(tmp_path: Path) -> None:
    """The link stays a link, and its target is made."""
    (tmp_path / "link").symlink_to("file")
    write(tmp_path / "link")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert (tmp_path / "link").is_symlink()


def test_a_named_pipe_is_written_to(tmp_path: Path) -> None:
    """A pipe is written to by its name and by a link. It stays a pipe, even if files may be replaced."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for target in ("pipe", "link"):
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))  # noqa: B023
        reader.start()
        write(tmp_path / target)
        reader.join()
        assert got == [b"new"]
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("form", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_an_open_descriptor_is_written_to(tmp_path: Path, pipe: tuple[int, int], form: str) -> None:
    """Descriptors have the names of shells, or are behind a link. They are not reopened, so a file continues at its
    position."""
    reading, writing = pipe
    (tmp_path / "link").symlink_to(f"/proc/self/fd/{writing}")
    target = tmp_path / "link" if form == "link" else form.format(writing)
    write(target)
    assert os.read(reading, 100) == b"new"
    with (tmp_path / "file").open("wb", buffering=0) as file:
        file.write(b"begun, ")
        write(f"/dev/fd/{file.fileno()}")
    assert (tmp_path / "file").read_bytes() == b"begun, new"


def test_a_device_is_written_to() -> None:
    """A device stays a device, and a full device is reported."""
    write("/dev/null")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(OutputError, match="no space left to write /dev/full"):
        write("/dev/full")


def test_binary_content_is_for_no_terminal(tmp_path: Path) -> None:
    """It is refused for a terminal that is named as a device, as a descriptor or behind a link. Text is printed
    there."""
    ours, theirs = os.openpty()
    try:
        (tmp_path / "link").symlink_to(os.ttyname(theirs))
        for target in (os.ttyname(theirs), f"/dev/fd/{theirs}", tmp_path / "link"):
            with pytest.raises(OutputError, match="is a terminal") as caught:
                write(target, is_binary=True)
            assert caught.value.is_usage
            write(target)
        assert b"new" in os.read(ours, 100)
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(
    ("target", "reason"),
    [("absent/file", "its directory does not exist"), (".", "is a directory"), ("", "is a directory")],
)
def test_what_can_never_be_written_is_found_before_the_work(tmp_path: Path, target: str, reason: str) -> None:
    """The command ends with the exit code for a wrong call."""
    with pytest.raises(OutputError, match=reason) as caught:
        check_output(tmp_path / target, always)
    assert caught.value.is_usage


def test_links_in_a_circle_and_closed_descriptors_are_told(tmp_path: Path, pipe: tuple[int, int]) -> None:
    """Each gives a clear message."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    closed = os.dup(pipe[0])
    os.close(closed)
    for target in (tmp_path / "a", f"/dev/fd/{closed}"):
        with pytest.raises(OutputError, match=r"cannot be written|does not exist"):
            write(target, replaces=always)


@pytest.mark.parametrize(
    ("content", "is_same"),
    [
        (b'{"schema": "p2pverify/x/1", "a": 1}', True),
        (b'{\n "schema": "p2pverify/x/1"', True),
        (b'{"schema": "p2pverify/x/10"}', False),
        (b'{"schema": "p2pverify/y/1"}', False),
        (b'{"a": {"schema": "p2pverify/x/1"}}', False),
        (b"\\documentclass{article}", False),
        (b"", False),
    ],
)
def test_a_report_replaces_an_earlier_one_of_its_kind_alone(tmp_path: Path, content: bytes, is_same: bool) -> None:
    """Any other file with this name stays."""
    (tmp_path / "report").write_bytes(content)
    assert same_report("p2pverify/x/1")(tmp_path / "report") is is_same


def test_what_goes_to_standard_output_is_known(tmp_path: Path) -> None:
    """Standard output is recognised by all its names."""
    assert is_stdout("-")
    assert is_stdout("/dev/stdout")
    (tmp_path / "link").symlink_to("/dev/stdout")
    assert is_stdout(tmp_path / "link")
    assert not is_stdout(tmp_path / "new")
