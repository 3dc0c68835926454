"""The home directory: where a node keeps its identity, database, lock and the address of its local API.

    config.toml  network.toml  identity.key  node.db  api  token  leaving  version  node.lock  data/

Every command imports this module, so it needs little more than the standard library. Other modules read `config.toml`,
`network.toml` and the database.
"""

import errno
import fcntl
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from p2pverify.node.endpoints.proof import home_key
from p2pverify.node.files.textfile import user_path
from p2pverify.node.identity.holder import describe_process, name_holder
from p2pverify.node.identity.private import HomeError, HomeMissingError, read_file, read_private, translated

ENVIRONMENT = "P2PVERIFY_HOME"
SEED_BYTES = 32
TOKEN_BYTES = 32
_FILE_BYTES_MAX = 4096  # of identity.key, token, api and node.lock
_RESTORE = "restore it from a copy of this home, or move it away to begin as a new peer"
_DELETE = "delete it and restart the node"
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)  # errors of file systems without hard links


@dataclass(frozen=True, slots=True)
class Home:
    """One directory with everything that a node owns. Nothing is read or made before a method is called."""

    path: Path

    @classmethod
    def find(cls, override: str | Path | None = None, environment: Mapping[str, str] = os.environ) -> "Home":
        """The home named by `--home`, else by P2PVERIFY_HOME, else the user's data directory."""
        chosen = override or environment.get(ENVIRONMENT)
        if chosen:
            return cls(user_path(chosen).absolute())
        from platformdirs import user_data_dir  # noqa: PLC0415 - most calls name their home and skip its import

        return cls(Path(user_data_dir("p2pverify", appauthor=False)))

    @property
    def config_path(self) -> Path:
        return self.path / "config.toml"

    @property
    def network_path(self) -> Path:
        return self.path / "network.toml"

    @property
    def identity_path(self) -> Path:
        return self.path / "identity.key"

    @property
    def database_path(self) -> Path:
        return self.path / "node.db"

    @property
    def clients_path(self) -> Path:
        """The receipts of this node's clients, and the hashes of their keys."""
        return self.path / "clients.db"

    @property
    def api_path(self) -> Path:
        return self.path / "api"

    @property
    def token_path(self) -> Path:
        return self.path / "token"

    @property
    def blobs_path(self) -> Path:
        """Files of models that were fetched from other peers."""
        return self.path / "blobs"

    @property
    def version_path(self) -> Path:
        return self.path / "version"

    @property
    def cheat_path(self) -> Path:
        """The directory of an engine that lies. Only in testnets."""
        return self.path / "cheat"

    @property
    def leaving_path(self) -> Path:
        return self.path / "leaving"

    @property
    def unused_path(self) -> Path:
        return self.path / "unused"

    @property
    def lock_path(self) -> Path:
        return self.path / "node.lock"

    def is_initialised(self) -> bool:
        """Whether the directory has an identity."""
        return self.identity_path.exists()

    def init(self, config: str = "", seed: bytes | None = None) -> bool:
        """Make the directory (0700), config.toml with this text, and an identity (new or of `seed`), as far as missing.

        Returns True if the identity is new. An empty config.toml counts as missing. An existing identity is never
        replaced, and none is made next to the records of an earlier one. If this fails half way, it removes what it has
        made. Raises HomeError.
        """
        with translated(self.path):
            made = [each for each in (self.path, *self.path.parents) if not each.exists()]
        is_config_new = False
        try:
            with translated(self.path):
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self.is_initialised() and self.database_path.exists():
                raise HomeError(
                    f"{self.identity_path} is missing, and {self.database_path} holds the records of its peer",
                    "put identity.key back from a copy of this home, or begin as a new peer in another home",
                )
            with translated(self.config_path):
                if config and not (self.config_path.exists() and self.config_path.stat().st_size > 0):
                    is_config_new = True
                    with atomic_file(self.config_path, mode=0o644) as file:
                        file.write(config.encode())
            if not self.is_initialised():
                _create_private(self.unused_path, "The identity of this home has signed nothing yet.")
            return _create_private(self.identity_path, (seed or os.urandom(SEED_BYTES)).hex())
        except BaseException:
            with suppress(OSError):
                if is_config_new:
                    self.config_path.unlink(missing_ok=True)
                if not self.is_initialised():
                    self.unused_path.unlink(missing_ok=True)
                for directory in made:
                    directory.rmdir()
            raise

    def load_identity(self) -> bytes:
        """The identity's 32-byte seed. Raises HomeError if it is missing, readable by others, damaged or locked."""
        from p2pverify.node.identity.keyfile import read_seed  # noqa: PLC0415 - most commands need no key

        return read_seed(self.identity_text(), self.identity_path)

    def identity_text(self) -> str:
        """The text of the key file. Raises HomeError."""
        text = read_private(self.identity_path, _RESTORE)
        if text is None:
            what = "has no identity" if self.path.is_dir() else "does not exist"
            raise HomeMissingError(f"the home {self.path} {what}", f"{self._init_hint()}, or name another --home")
        return text

    def write_identity(self, text: str) -> None:
        """Replace the text of the key file."""
        with translated(self.identity_path), atomic_file(self.identity_path, mode=0o600) as file:
            file.write(f"{text}\n".encode())

    def _init_hint(self) -> str:
        return f"make it with 'p2pverify --home {shlex.quote(str(self.path))} init'"

    def ensure_token(self) -> str:
        """The local API's bearer token (64 hex digits), made on first use."""
        _create_private(self.token_path, os.urandom(TOKEN_BYTES).hex())
        token = self.read_token()
        if token is None:
            raise HomeError(f"{self.token_path} has disappeared", "do not delete it while the node starts")
        return token

    def read_token(self) -> str | None:
        """The local API's bearer token, or None before the first start."""
        text = read_private(self.token_path, _DELETE)
        if text is None:
            return None
        return _from_hex(text, TOKEN_BYTES, self.token_path, _DELETE).hex()

    def key(self) -> bytes | None:
        """The key with which the node of this home proves itself (see `proof`), or None before the first start."""
        token = self.read_token()
        return None if token is None else home_key(token, self.identity_text())

    def write_api(self, url: str) -> None:
        """Publish the URL of the running node's API. Readers see the old URL or the new one, never a part."""
        if not _is_url(url):
            raise HomeError(f"{url!r} is not a URL of a local API", "give http://host:port")
        with translated(self.api_path), atomic_file(self.api_path, mode=0o600) as file:
            file.write(f"{url}\n".encode())

    def read_api(self) -> str | None:
        """The URL of the node's API, or None if no node has written one. The node may have died since."""
        data = read_file(self.api_path)
        if data is None:
            return None
        url = data.decode(errors="replace").removesuffix("\n")
        if not _is_url(url):
            raise HomeError(f"{self.api_path} does not hold a URL", "delete it and restart the node")
        return url

    def clear_api(self) -> None:
        """Remove the URL of the API: it no longer listens."""
        with translated(self.api_path):
            self.api_path.unlink(missing_ok=True)

    def take_unused(self) -> bool:
        """True once, at the first start of a new identity.

        The mark is removed from the disk before anything can be signed. So a later copy of the home does not count as
        unused.
        """
        was_unused = self.unused_path.exists()
        if was_unused:
            with translated(self.unused_path):
                self.unused_path.unlink()
            _sync_directory(self.path)
        return was_unused

    def keep_leave(self) -> None:
        """Remember that this peer leaves its network for good, even if it cannot sign the leave now."""
        with translated(self.leaving_path), atomic_file(self.leaving_path, mode=0o600) as file:
            file.write(b"This peer leaves its network for good; 'p2pverify join --rejoin' takes part again.\n")

    def wants_leave(self) -> bool:
        """Whether `keep_leave` was called since the last `forget_leave`."""
        return self.leaving_path.exists()

    def forget_leave(self) -> None:
        """Forget a wish to leave, so that this peer takes part again."""
        with translated(self.leaving_path):
            self.leaving_path.unlink(missing_ok=True)
        _sync_directory(self.path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory for one process. Raises HomeError, which names the holder, if another process holds it.

        The kernel drops the lock with its process, so a lock never outlives a crash. The lock matters because two
        processes with one key would sign the same sequence number twice, and other peers convict a peer for that.
        """
        with translated(self.lock_path):
            handle = os.open(self.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with translated(self.lock_path):
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise self._held(os.pread(handle, _FILE_BYTES_MAX, 0)) from None
            with suppress(OSError):  # only information, so a full disk does no harm; the kernel holds the lock
                os.ftruncate(handle, 0)
                os.pwrite(handle, describe_process(), 0)
            try:
                yield
            finally:
                with suppress(OSError):
                    os.ftruncate(handle, 0)
        finally:
            os.close(handle)

    def _held(self, data: bytes) -> HomeError:
        hint = "look with 'p2pverify status', stop that process, or name another --home"
        return HomeError(f"{self.path} is in use by {name_holder(data)}", hint)


@contextmanager
def atomic_file(path: Path, *, mode: int, replace: bool = True) -> Iterator[BinaryIO]:
    """A file that replaces `path` when the block ends, complete and on disk. If the block fails, nothing changes.

    `mode` is narrowed by the umask. Raises OSError, and FileExistsError if `replace` is False and `path` exists.
    """
    unfinished = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    handle = os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if replace:
            unfinished.rename(path)
        else:
            _name(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    try:
        _sync_directory(path.parent)
    except OSError:
        if not replace:
            path.unlink()
        raise


def _name(unfinished: Path, path: Path) -> None:
    """Rename `unfinished` to `path` unless `path` exists. Raises OSError, FileExistsError among them."""
    try:
        os.link(unfinished, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        unfinished.rename(path)
    else:
        unfinished.unlink()


def _create_private(path: Path, text: str) -> bool:
    """Create a 0600 file with one line, completely or not at all. False if a file of that name exists."""
    with translated(path):
        if path.exists():
            return False
        try:
            with atomic_file(path, mode=0o600, replace=False) as file:
                file.write(f"{text}\n".encode())
        except FileExistsError:
            return False
    return True


def _from_hex(text: str, size: int, path: Path, hint: str) -> bytes:
    if len(text) == 2 * size and all(c in "0123456789abcdef" for c in text):
        return bytes.fromhex(text)
    raise HomeError(f"{path} is not {2 * size} hex digits", hint)


def _is_url(url: str) -> bool:
    clean = len(url) < 1024 and url.isascii() and url.isprintable() and " " not in url
    return clean and url.startswith(("http://", "https://"))


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
