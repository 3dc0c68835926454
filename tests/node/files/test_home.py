"""The home directory keeps its secrets private and admits only one process."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pverify.node.files.home import Home, atomic_file
from p2pverify.node.identity.private import HomeError

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys
from pathlib import Path
from p2pverify.node.files.home import Home
with Home(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.init()
    return made


@pytest.fixture
def holder(home: Home) -> Iterator["subprocess.Popen[bytes]"]:
    """Another process that holds the lock until its standard input closes."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(home.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_home_is_chosen_by_option_then_environment_then_default(tmp_path: Path) -> None:
    """--home is used before P2PVERIFY_HOME, and that before the user's data directory."""
    environment = {"P2PVERIFY_HOME": str(tmp_path / "from-environment")}
    assert Home.find(tmp_path / "option", environment).path == tmp_path / "option"
    assert Home.find(None, environment).path == tmp_path / "from-environment"
    assert Home.find("~/elsewhere", {}).path == Path.home() / "elsewhere"
    assert Home.find("relative", {}).path == Path.cwd() / "relative"
    assert Home.find(None, {"P2PVERIFY_HOME": ""}).path.name == "p2pverify"


def test_init_makes_one_identity(tmp_path: Path) -> None:
    """The first init makes directory and key with private modes. Later calls keep the key."""
    home = Home(tmp_path / "deep" / "home")
    assert not home.is_initialised()
    assert home.init()
    seed = home.load_identity()
    assert len(seed) == 32
    assert (mode(home.path), mode(home.identity_path)) == (0o700, 0o600)
    assert not home.init()
    assert home.load_identity() == seed
    assert home.is_initialised()


def test_identities_differ(tmp_path: Path) -> None:
    """Two homes have two identities."""
    homes = [Home(tmp_path / name) for name in ("alice", "bob")]
    assert all(home.init() for home in homes)
    assert homes[0].load_identity() != homes[1].load_identity()


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o666])
def test_identity_open_to_others_is_refused(home: Home, bits: int) -> None:
    """A key or a token that other users could read or write is an error that gives the command for a fix."""
    home.ensure_token()
    for path, load in ((home.identity_path, home.load_identity), (home.token_path, home.read_token)):
        path.chmod(bits)
        with pytest.raises(HomeError, match=f"chmod 600 {path}"):
            load()


@pytest.mark.parametrize("content", [b"", b"ab" * 31, b"AB" * 32, b"zz" * 32, b"\xff" * 64, b"0" * 100_000])
def test_damaged_identity_is_refused(home: Home, content: bytes) -> None:
    """A key file without 64 lower-case hex digits is an error, and init does not replace it."""
    home.identity_path.write_bytes(content)
    with pytest.raises(HomeError):
        home.load_identity()
    assert not home.init()
    assert home.identity_path.read_bytes() == content


def test_missing_identity_is_told(tmp_path: Path) -> None:
    """Without an identity, the error names the command that makes one."""
    for home in (Home(tmp_path), Home(tmp_path / "nowhere")):
        with pytest.raises(HomeError, match=r"p2pverify --home .* init"):
            home.load_identity()


def test_special_files_are_not_read(home: Home) -> None:
    """A FIFO or a directory in place of a file is an error and does not block."""
    os.mkfifo(home.api_path)
    home.token_path.mkdir()
    with pytest.raises(HomeError, match="is not a file"):
        home.read_api()
    with pytest.raises(HomeError):
        home.read_token()


def test_an_identity_is_unused_once(tmp_path: Path) -> None:
    """It is unused until its first start. An identity that was copied into the home, or the copy of a started home, is
    not unused."""
    home = Home(tmp_path / "new")
    home.init()
    copy = Home(tmp_path / "copy")
    assert home.take_unused()
    shutil.copytree(home.path, copy.path)
    assert not home.take_unused()
    assert not copy.take_unused()
    restored = Home(tmp_path / "restored")
    restored.path.mkdir()
    shutil.copy(home.identity_path, restored.identity_path)
    assert not restored.init()
    assert not restored.take_unused()


def test_token_is_made_once(home: Home) -> None:
    """The token has 64 hex digits, does not change, and only its owner can read it."""
    assert home.read_token() is None
    token = home.ensure_token()
    assert len(bytes.fromhex(token)) == 32
    assert home.ensure_token() == home.read_token() == token
    assert mode(home.token_path) == 0o600


def test_api_url_comes_and_goes(home: Home) -> None:
    """The URL is replaced atomically, and it can be cleared twice."""
    assert home.read_api() is None
    home.write_api("http://127.0.0.1:4001")
    home.write_api("http://127.0.0.1:4002")
    assert home.read_api() == "http://127.0.0.1:4002"
    home.clear_api()
    home.clear_api()
    assert home.read_api() is None
    assert {path.name for path in home.path.iterdir()} == {"identity.key", "unused"}


@pytest.mark.parametrize("content", [b"", b"file:///x\n", b"http://a b\n", b"http://\x1b[31m\n", b"\xff\xfe"])
def test_damaged_api_file_is_told(home: Home, content: bytes) -> None:
    """An api file without a URL is an error. None of its content reaches a terminal or a socket."""
    home.api_path.write_bytes(content)
    with pytest.raises(HomeError, match="does not hold a URL"):
        home.read_api()
    with pytest.raises(HomeError, match="not a URL"):
        home.write_api(content.decode(errors="replace"))


def test_methods_on_a_missing_directory(tmp_path: Path) -> None:
    """Before init, writing and locking report the missing directory. Reading finds nothing."""
    home = Home(tmp_path / "nowhere")
    with pytest.raises(HomeError, match="does not exist"):
        home.write_api("http://127.0.0.1:1")
    with pytest.raises(HomeError, match="does not exist"), home.lock():
        pass
    assert home.read_api() is None
    home.clear_api()


def test_second_start_names_the_holder(home: Home, holder: "subprocess.Popen[bytes]") -> None:
    """While another process holds the home, locking names its pid, start and command."""
    expected = rf"in use by process {holder.pid} since \d{{4}}-.* \(-c {home.path}\).*p2pverify status"
    with pytest.raises(HomeError, match=expected), home.lock():
        pass


def test_lock_of_a_killed_process_is_free(home: Home, holder: "subprocess.Popen[bytes]") -> None:
    """The lock file of a killed process blocks no other process."""
    holder.send_signal(signal.SIGKILL)
    assert holder.wait() == -signal.SIGKILL
    assert b'"pid"' in home.lock_path.read_bytes()
    with home.lock():
        assert f'"pid": {os.getpid()}'.encode() in home.lock_path.read_bytes()


def test_lock_is_released(home: Home) -> None:
    """A home can be locked again after the block ends, even by an error, but not within the block."""

    def lock_twice_and_fail() -> None:
        with home.lock():
            with pytest.raises(HomeError, match=f"process {os.getpid()}"), home.lock():
                pass
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        lock_twice_and_fail()
    with home.lock():
        assert mode(home.lock_path) == 0o600


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"pid": 1e999, "started": 1, "argv": 1}', b"[" * 4096, b"\xff" * 9000]
)
def test_damaged_lock_file_is_no_obstacle(home: Home, content: bytes) -> None:
    """For any content of the lock file, the second start gets a clear message."""
    with home.lock():
        home.lock_path.write_bytes(content)
        with pytest.raises(HomeError, match="in use by another process"), home.lock():
            pass


def test_lock_file_cannot_write_to_the_terminal(home: Home) -> None:
    """Control characters from a lock file are not printed."""
    with home.lock():
        home.lock_path.write_text('{"pid": 5, "started": 0, "argv": "\\u001b[2Jx"}')
        with pytest.raises(HomeError) as caught, home.lock():
            pass
    assert "\x1b" not in str(caught.value)


def test_atomic_file_keeps_the_old_content_on_an_error(tmp_path: Path) -> None:
    """A block that fails changes nothing and leaves no file."""
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write_and_fail() -> None:
        with atomic_file(path, mode=0o600) as file:
            file.write(b"new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_import_stays_light() -> None:
    """Importing this module loads none of the node's heavy libraries."""
    code = (
        "import sys; import p2pverify.node.files.home; heavy = "
        "{'trio', 'libp2p', 'pydantic', 'nacl', 'numpy', 'sqlite3', 'click'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment)
    assert found.stdout.strip() == b"[]"


class FullDisk:
    """Lets `calls` calls that flush to disk succeed, and fails afterwards."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def fsync(self, handle: int) -> None:
        if self.left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.left -= 1


def test_init_makes_a_whole_home_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk becomes full at any point, no file is left, and the next init makes the whole home."""
    made = Home(tmp_path / "some" / "where")
    calls = 0
    while True:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", FullDisk(calls).fsync)
            try:
                assert made.init("# config\n")
                break
            except HomeError as error:
                said = str(error)
        assert "No space left" in said
        assert "free some space" in said
        assert list(tmp_path.iterdir()) == []
        calls += 1
    assert calls >= 2
    assert made.config_path.read_text() == "# config\n"
    assert len(made.load_identity()) == 32
    assert sorted(each.name for each in made.path.iterdir()) == ["config.toml", "identity.key", "unused"]


def test_a_failed_init_leaves_alone_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier directory keeps its content. An empty config.toml counts as none."""
    made = Home(tmp_path / "home")
    made.path.mkdir()
    (made.path / "mine").write_text("mine")
    made.config_path.write_text("")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", FullDisk(0).fsync)
        with pytest.raises(HomeError):
            made.init("# config\n")
    assert (made.path / "mine").read_text() == "mine"
    assert not made.identity_path.exists()
    assert made.init("# config\n")
    assert made.config_path.read_text() == "# config\n"
    assert not made.init("# another\n")
    assert made.config_path.read_text() == "# config\n"


def test_no_identity_is_made_beside_the_records_of_another(tmp_path: Path) -> None:
    """If identity.key was lost, a new key would not match the database."""
    made = Home(tmp_path / "home")
    made.path.mkdir()
    made.database_path.write_bytes(b"whatever")
    with pytest.raises(HomeError, match=r"identity\.key is missing.*put identity\.key back"):
        made.init()
    assert not made.identity_path.exists()


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_file_systems_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A private file is made by renaming there, and still replaces nothing."""

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    made = Home(tmp_path / "home")
    assert made.init()
    seed = made.load_identity()
    assert not made.init()
    assert made.load_identity() == seed


def test_the_lock_holds_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text in the lock's file is only information. The kernel holds the lock."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    made = Home(tmp_path / "home")
    made.init()
    monkeypatch.setattr(os, "pwrite", full)
    with made.lock(), pytest.raises(HomeError, match="in use"), made.lock():
        pass
